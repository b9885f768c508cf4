"""A command that is sent twice is applied once; sessions end in an order that every worker agrees on."""

import pytest

from shared.errors import Refused, SessionExpired
from shared.messages import Ticket
from worker.registry import sessions
from worker.registry.sessions import DISUSE_MS, Sessions


@pytest.fixture
def opened() -> Sessions:
    found = Sessions()
    found.open(1, "someone", 1000)
    return found


def test_a_repeated_command_gets_the_first_answer(opened: Sessions) -> None:
    ticket = Ticket(1, 5, 5)
    assert opened.earlier_answer(ticket, 1000) is None
    opened.remember(ticket, {"answer": {"x": 1}})
    assert opened.earlier_answer(ticket, 2000) == {"answer": {"x": 1}}


def test_an_answer_is_kept_until_the_client_lets_go_of_it(opened: Sessions) -> None:
    for sequence in (1, 2, 3):
        opened.remember(Ticket(1, sequence, 0), {"answer": {}})
    assert opened.earlier_answer(Ticket(1, 4, 3), 1000) is None
    assert opened.earlier_answer(Ticket(1, 3, 3), 1000) == {"answer": {}}
    with pytest.raises(Refused, match="already answered"):
        opened.earlier_answer(Ticket(1, 2, 3), 1000)


def test_what_was_let_go_of_stays_so_when_old_tickets_come_late(opened: Sessions) -> None:
    assert opened.earlier_answer(Ticket(1, 9, 9), 1000) is None
    with pytest.raises(Refused):
        opened.earlier_answer(Ticket(1, 8, 1), 1000)


def test_a_session_that_was_never_opened_is_expired(opened: Sessions) -> None:
    with pytest.raises(SessionExpired):
        opened.earlier_answer(Ticket(2, 1, 0), 1000)


def test_a_session_in_disuse_ends_when_another_is_opened(opened: Sessions) -> None:
    opened.open(2, "other", 1000)
    opened.earlier_answer(Ticket(2, 1, 0), 1000 + DISUSE_MS)
    opened.open(3, "third", 1000 + DISUSE_MS + 1)
    with pytest.raises(SessionExpired):
        opened.earlier_answer(Ticket(1, 1, 0), 1000 + DISUSE_MS + 1)
    assert opened.client(Ticket(2, 1, 0)) == "other"


def test_the_least_recently_used_session_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_LIMIT", 3)
    found = Sessions()
    for index in (1, 2, 3):
        found.open(index, f"client {index}", 1000)
    found.earlier_answer(Ticket(1, 1, 0), 1001)
    found.open(4, "client 4", 1002)
    assert len(found) == 3
    assert found.earlier_answer(Ticket(1, 2, 0), 1002) is None
    with pytest.raises(SessionExpired):
        found.earlier_answer(Ticket(2, 1, 0), 1002)


def test_a_client_cannot_leave_endless_answers_behind(opened: Sessions) -> None:
    for sequence in range(sessions.ANSWERS_LIMIT):
        opened.remember(Ticket(1, sequence, 0), {"answer": {}})
    with pytest.raises(Refused, match="unanswered"):
        opened.earlier_answer(Ticket(1, 5000, 0), 1000)
    assert opened.earlier_answer(Ticket(1, 3, 0), 1000) == {"answer": {}}
    assert opened.earlier_answer(Ticket(1, 5000, 1000), 1000) is None
