// What the events mean: kinds, sentences, and what each worker was at any step. Draws nothing.

const KINDS = {
  vote: "election", vote_reply: "election", timeout_now: "election",
  append: "replication", append_reply: "replication",
  heartbeat: "heartbeat", heartbeat_reply: "heartbeat",
  read: "read", read_reply: "read",
  snapshot: "snapshot", snapshot_reply: "snapshot",
};
const EVERY = 500;

class Story {
  constructor({ start, workers, steps }) {
    this.start = start;
    this.workers = workers;
    this.steps = steps.map(([time, worker, what, peer, name, fields, partner]) => {
      return { time, worker, what, peer, name, fields, partner, kind: kindOf(what, name) };
    });
    this.kinds = ["election", "replication", "commit", "heartbeat", "read", "snapshot"].filter((kind) => {
      return this.steps.some((step) => step.kind === kind);
    });
    this.moments = this.steps.flatMap((step, place) => (step.what === "r" ? [place] : []));
    this.began = this.workers.map((_, worker) => this.steps.find((step) => step.worker === worker)?.time ?? Infinity);
    this.#remember();
  }

  // What became of a sent message: a worker that was started anew has forgotten what it heard before.
  fate(step) {
    if (step.what !== "s" || step.partner >= 0) return "arrived";
    return step.time < this.began[step.peer] ? "forgotten" : "lost";
  }

  // States are kept at every so many steps, and played forward from there.
  #remember() {
    let state = this.workers.map(() => ({ role: "unknown", leader: -1, term: null, log: null, applied: null }));
    this.kept = [];
    this.steps.forEach((step, place) => {
      if (place % EVERY === 0) this.kept.push(state);
      state = after(state, step);
    });
    if (!this.kept.length) this.kept.push(state);
  }

  // What each worker is once step `place` has happened.
  at(place) {
    const from = Math.max(0, Math.floor(place / EVERY));
    let state = this.kept[from];
    for (let one = from * EVERY; one <= place && one < this.steps.length; one += 1) state = after(state, this.steps[one]);
    return state;
  }

  // What a worker was before its role first changed.
  roleBefore(worker) {
    const first = this.moments.find((place) => this.steps[place].worker === worker) ?? this.steps.length;
    return this.at(first - 1)[worker].role;
  }

  id(worker) {
    return this.workers[worker]?.id ?? "–";
  }

  sentence(step) {
    const worker = this.id(step.worker);
    if (step.what === "r") {
      const values = { worker, role: t(`role.${step.name}`), term: step.fields.term, leader: this.id(step.peer) };
      return t("said.role", values);
    }
    if (step.what === "a") return t("said.applied", { worker, index: step.fields.index });
    const what = t(`what.${meaning(step)}`, step.fields);
    return t(step.what === "s" ? "said.sent" : "said.heard", { worker, peer: this.id(step.peer), what });
  }
}

function kindOf(what, name) {
  if (what === "r") return "election";
  return what === "a" ? "commit" : KINDS[name] ?? "replication";
}

function meaning({ name, fields }) {
  if (name === "vote") return fields.pre ? "prevote" : "vote";
  if (name === "vote_reply") return fields.granted ? "granted" : "refused";
  if (name === "append") return fields.entries ? "append" : "probe";
  if (name === "append_reply") return fields.rejected ? "rejected" : "append_reply";
  return name;
}

function after(state, { worker, what, peer, name, fields }) {
  const known = state[worker];
  let next = known;
  if (what === "r") next = { ...known, role: name, leader: peer, term: fields.term };
  else if (what === "a") next = { ...known, applied: fields.index, log: Math.max(known.log ?? 0, fields.index) };
  else if (what === "s") {
    const log = { append: (fields.previous_index ?? 0) + (fields.entries ?? 0), append_reply: fields.rejected ? 0 : fields.index, heartbeat_reply: fields.durable }[name];
    const role = known.role === "unknown" ? { append: "leader", heartbeat: "leader", append_reply: "follower", heartbeat_reply: "follower" }[name] : null;
    const told = fields.pre ? known.term : fields.term;
    next = { ...known, role: role ?? known.role, term: told ?? known.term, log: log ? Math.max(known.log ?? 0, log) : known.log };
  }
  return next === known ? state : state.map((one, place) => (place === worker ? next : one));
}
