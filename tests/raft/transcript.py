"""Scenarios as text: commands, each followed by everything that it causes, down to the last message.

    > cluster a b c            voters; `learner d` adds a learner; `key=value` sets a number of the configuration
    > log a 1 1 2              before the start: a's durable log has these terms
    > vote a 2 b               before the start: a's durable term and vote
    > start [a]                all servers, or one that has crashed
    > timeout a                time passes until a's deadline, and a ticks
    > elapse 0.5               seconds pass: all tick when they are due, messages arrive at once
    > deliver [a b]            everything under way arrives, and what that causes; or only what is under way from a to b
    > drop [a b]               it never arrives
    > cut a b                  nothing passes between a and b until `heal`; `cut a`: between a and anyone
    > slow a / fast a          a's disk finishes nothing until `persist a [count]` / finishes at once
    > crash a                  a loses all that is not durable
    > lost a b                 a's connection to b breaks
    > propose a x y            > read a r1 r2         > transfer a b
    > members a voters b c [learners d]               > compact a 3          > status

`3/1` is the entry at index 3 of term 1. Lines that begin with # are for the reader.
"""

import dataclasses
from collections.abc import Callable

from tests.raft.cluster import Cluster, Server
from worker.raft import (
    Append,
    AppendReply,
    Config,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Membership,
    Message,
    RaftError,
    ReadReply,
    ReadRequest,
    Ready,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)


def replay(text: str) -> str:
    """`text` with everything but its commands and comments written anew."""
    scenario = Scenario()
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            lines.append(line)
        elif line.startswith("> "):
            scenario.lines.clear()
            scenario.run(line[2:].split())
            lines += [line, *(f"  {told}" for told in scenario.lines), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


class Scenario:
    """The interpreter of one transcript."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cluster: Telling | None = None

    def run(self, words: list[str]) -> None:
        command, *arguments = words
        handler: Callable[..., None] = getattr(self, f"do_{command}")
        try:
            handler(*arguments)
        except RaftError as error:
            self.lines.append(f"{type(error).__name__}: {error}")

    @property
    def servers(self) -> "Telling":
        assert self.cluster is not None, "a scenario begins with: > cluster"
        return self.cluster

    def do_cluster(self, *words: str) -> None:
        numbers = dict(word.split("=") for word in words if "=" in word)
        names = [word for word in words if "=" not in word]
        split = names.index("learner") if "learner" in names else len(names)
        kinds = {field.name: field.type for field in dataclasses.fields(Config)}
        values = {
            key: (float if kinds[key] in (float, "float") else int)(value) for key, value in numbers.items()
        }
        self.cluster = Telling(self.lines, names[:split], names[split + 1 :], lambda id: Config(id, **values))

    def do_log(self, id: str, *terms: str) -> None:
        disk = self.servers[id].disk
        for index, term in enumerate(map(int, terms), start=1):
            disk.log.append(Entry(term, index, EntryKind.COMMAND, f"{index}/{term}".encode()))
        disk.hard_state = HardState(int(terms[-1]))

    def do_vote(self, id: str, term: str, candidate: str = "") -> None:
        self.servers[id].disk.hard_state = HardState(int(term), candidate or None)

    def do_start(self, *ids: str) -> None:
        for id in ids or list(self.servers.servers):
            if id not in self.servers.servers:
                self.servers.add(id)
            self.servers[id].start()

    def do_timeout(self, id: str) -> None:
        self.servers.now = max(self.servers.now, self.servers[id].core.deadline())
        self.servers.tick(id)

    def do_elapse(self, seconds: str) -> None:
        self.servers.elapse(float(seconds))

    def do_deliver(self, *link: str) -> None:
        if not link:
            self.servers.settle()
        for message in self._on(*link) if link else ():
            self.servers.deliver(next(n for n, m in enumerate(self.servers.network) if m is message))

    def do_drop(self, *link: str) -> None:
        for message in self._on(*link) if link else list(self.servers.network):
            self.servers.network = [other for other in self.servers.network if other is not message]
            self.servers.tell_message(message, "dropped")

    def _on(self, sender: str, to: str) -> list[Message]:
        return [message for message in self.servers.network if (message.sender, message.to) == (sender, to)]

    def do_cut(self, one: str, *others: str) -> None:
        for other in others or [id for id in self.servers.servers if id != one]:
            self.servers.cuts |= {(one, other), (other, one)}

    def do_heal(self) -> None:
        self.servers.cuts.clear()

    def do_slow(self, id: str) -> None:
        self.servers[id].slow = True

    def do_fast(self, id: str) -> None:
        self.servers[id].slow = False
        self.do_persist(id)

    def do_persist(self, id: str, count: str = "") -> None:
        self.servers[id].persist(int(count) if count else None)
        self.servers[id].pump()
        self.servers.check()

    def do_crash(self, id: str) -> None:
        self.servers[id].crash()

    def do_lost(self, id: str, peer: str) -> None:
        self.servers[id].core.peer_lost(peer, self.servers.now)
        self.servers[id].pump()

    def do_propose(self, id: str, *data: str) -> None:
        self.servers.propose(id, *(word.encode() for word in data))

    def do_read(self, id: str, *contexts: str) -> None:
        for context in contexts:
            self.servers[id].core.read_index(context)
        self.servers[id].pump()

    def do_transfer(self, id: str, target: str) -> None:
        self.servers[id].core.transfer_leader(target, self.servers.now)
        self.servers[id].pump()

    def do_members(self, id: str, *words: str) -> None:
        names = list(words[1:])
        split = names.index("learners") if "learners" in names else len(names)
        membership = Membership(frozenset(names[:split]), frozenset(names[split + 1 :]))
        self.servers[id].core.propose_membership(membership)
        self.servers[id].pump()
        self.servers.check()

    def do_compact(self, id: str, index: str) -> None:
        self.servers[id].compact(int(index))

    def do_status(self) -> None:
        for server in self.servers.servers.values():
            if server.raft is None:
                self.lines.append(f"{server.id}: down")
                continue
            status, log = server.status(), server.log
            terms = " ".join(
                str(log.term(index)) for index in range(log.first_index(), status.last_index + 1)
            )
            base = f"snapshot {log.first_index() - 1}, " if log.first_index() > 1 else ""
            voters = "".join(sorted(status.membership.voters))
            learners = "".join(sorted(status.membership.learners))
            members = f"voters {voters}" + (f" learners {learners}" if learners else "")
            self.lines.append(
                f"{server.id}: {status.role.value} of term {status.term}, {base}log [{terms}], "
                f"commit {status.commit_index}, {members}"
            )


class Telling(Cluster):
    """A cluster that writes down what happens."""

    def __init__(
        self, lines: list[str], voters: list[str], learners: list[str], config: Callable[[str], Config]
    ) -> None:
        super().__init__(voters, learners, seed="scenario", config=config)
        self.lines = lines

    def tell_ready(self, server: Server, ready: Ready) -> None:
        told = self.lines.append
        if ready.leadership is not None:
            leadership = ready.leadership
            follows = f", follows {leadership.leader}" if leadership.leader not in (None, server.id) else ""
            told(f"{server.id} is {leadership.role.value} of term {leadership.term}{follows}")
        if ready.hard_state is not None:
            told(f"{server.id} writes term {ready.hard_state.term}, vote {ready.hard_state.voted_for or '-'}")
        if ready.entries:
            told(f"{server.id} writes {entries(ready.entries)}")
        if ready.snapshot is not None:
            chunk = ready.snapshot
            end = chunk.offset + len(chunk.data)
            told(
                f"{server.id} writes snapshot {chunk.snapshot.index} bytes {chunk.offset}..{end}{' whole' * chunk.last}"
            )
        if ready.committed:
            told(f"{server.id} applies {entries(ready.committed)}")
        for read in ready.reads:
            told(f"{server.id} may read {read.context} at {read.index}")

    def tell_persisted(self, server: Server, ready: Ready) -> None:
        if server.slow:
            self.lines.append(f"{server.id} has persisted up to {ready.last_index}/{ready.last_term}")

    def tell_message(self, message: Message, fate: str) -> None:
        self.lines.append(
            f"{message.sender} > {message.to}  {describe(message)}{f'  ({fate})' if fate else ''}"
        )


def entries(found: tuple[Entry, ...]) -> str:
    """Entries in a few words."""
    return " ".join(f"{entry.index}/{entry.term}{_content(entry)}" for entry in found)


def _content(entry: Entry) -> str:
    match entry.kind:
        case EntryKind.NOOP:
            return ""
        case EntryKind.COMMAND:
            return f'"{entry.data.decode()}"'
        case EntryKind.MEMBERSHIP:
            return f"{{{','.join(sorted(Membership.decode(entry.data).voters))}}}"


def describe(message: Message) -> str:
    """A message in a few words; the term comes last."""
    match message:
        case VoteRequest():
            kind = "pre-vote?" if message.pre else "vote?"
            why = " for transfer" if message.transfer else ""
            return f"{kind} log {message.last_index}/{message.last_term}{why} term {message.term}"
        case VoteReply():
            return f"{'pre-vote' if message.pre else 'vote'} {'yes' if message.granted else 'no'} term {message.term}"
        case Append():
            what = entries(message.entries) or "nothing"
            place = f"{message.previous_index}/{message.previous_term}"
            return f"append after {place}: {what}, commit {message.commit} term {message.term}"
        case AppendReply() if message.rejected:
            return f"no {message.index}, try {message.hint_index}/{message.hint_term} term {message.term}"
        case AppendReply():
            return f"durable {message.index} term {message.term}"
        case Heartbeat():
            return f"heartbeat {message.round}, commit {message.commit} term {message.term}"
        case HeartbeatReply():
            return f"alive {message.round}, received {message.received}, durable {message.durable} term {message.term}"
        case ReadRequest():
            return f"read index? term {message.term}"
        case ReadReply():
            return f"read index {message.index} term {message.term}"
        case TimeoutNow():
            return f"stand now term {message.term}"
        case InstallSnapshot():
            end = message.offset + len(message.data)
            span = f"bytes {message.offset}..{end}{' last' * message.last}"
            return f"snapshot {message.snapshot.index} {span} term {message.term}"
        case SnapshotReply():
            return f"snapshot {message.index} from byte {message.offset} term {message.term}"
