"""Timeouts that fit the measured round trip (5.6), deadlines, and clocks that jump."""

import pytest

from tests.raft.lone import Lone
from worker.raft import AppendReply, Config, Heartbeat, HeartbeatReply, Role
from worker.raft.timeouts import RoundTrip, election_timeout_s


def test_a_steady_round_trip_is_bounded_closely() -> None:
    trip = RoundTrip()
    assert trip.bound_s() == 0.0
    for _ in range(100):
        trip.measured(0.010)
    assert trip.bound_s() == pytest.approx(0.010, rel=0.01)


def test_a_jittery_round_trip_is_bounded_with_room() -> None:
    trip = RoundTrip()
    for number in range(200):
        trip.measured(0.005 if number % 2 else 0.300)
    assert trip.bound_s() > 0.300


def test_the_election_timeout_follows_the_round_trip_within_its_limits() -> None:
    config = Config("a", election_timeout_s=1.0, max_election_timeout_s=4.0)
    assert election_timeout_s(config, 0.001) == 1.0
    assert election_timeout_s(config, 0.25) == 2.0
    assert election_timeout_s(config, 30.0) == 4.0


def test_a_leader_measures_its_followers_and_tells_them() -> None:
    leader = Lone().lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    for _ in range(20):
        leader.wait(0.1)
        beat = next(message for message in leader.take(Heartbeat) if message.to == "b")
        leader.now += 0.05
        leader.step(HeartbeatReply("a", "b", 1, beat.round, 1, 1))
    assert beat.round_trip_s == pytest.approx(0.05, rel=0.2)
    assert leader.raft.status().peers["b"].round_trip_s == pytest.approx(0.05, rel=0.2)


def test_a_follower_on_a_slow_link_is_patient() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "b", 1, 0, 1, round_trip_s=0.4))
    follower.step(Heartbeat("a", "b", 1, 0, 2, round_trip_s=0.4))
    assert follower.raft.deadline() >= follower.now + 3.2


def test_a_leader_on_a_slow_link_is_as_patient_as_its_followers() -> None:
    leader = Lone().lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    for _ in range(20):
        leader.wait(0.1)
        beat = next(message for message in leader.take(Heartbeat) if message.to == "b")
        leader.now += 0.3
        leader.step(HeartbeatReply("a", "b", 1, beat.round, 1, 1))
    leader.wait(2.0)
    assert leader.raft.status().role is Role.LEADER
    leader.wait(2.0)
    assert leader.raft.status().role is Role.FOLLOWER


def test_ticks_before_the_deadline_do_nothing() -> None:
    follower = Lone()
    for _ in range(100):
        follower.raft.tick(follower.now)
    assert follower.raft.ready() is None


def test_a_clock_that_goes_back_stands_still() -> None:
    leader = Lone().lead("b")
    leader.raft.tick(leader.now - 100.0)
    leader.raft.tick(leader.now)
    assert leader.raft.status().role is Role.LEADER
    assert all(peer.heard_s >= 0 for peer in leader.raft.status().peers.values())


def test_a_leader_that_was_asleep_steps_down_before_it_serves() -> None:
    leader = Lone().lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    leader.wait(30.0)
    assert leader.raft.status().role is Role.FOLLOWER


@pytest.mark.parametrize(
    "numbers",
    [
        {"heartbeat_interval_s": 0.0},
        {"heartbeat_interval_s": 0.6},
        {"max_election_timeout_s": 0.5},
        {"crash_jitter_s": 0.0},
        {"max_append_bytes": 0},
    ],
)
def test_numbers_that_cannot_work_together_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Config("a", **numbers)
    with pytest.raises(ValueError, match="id"):
        Config("")
