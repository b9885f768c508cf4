"""Whoever computes, dies, or comes late: a job ends with the same weights, or with its reason."""

import hashlib
import itertools
from random import Random
from typing import Any

import pytest

from shared.errors import Busy, MinkaError, NotLeader, Refused, TaskFailed, Unreachable
from shared.frames import MAX_BODY_BYTES
from shared.messages import Ticket
from tests.unit.training_jobs.fake_workshop import FakeWorkshop, expected_weights, initial_state
from worker.registry import commands
from worker.registry.rows import HISTORY_ROWS, UNFINISHED, ModelRow, thinned
from worker.training import averaging, coordinator, job

PLACES = {"w1": 2, "w2": 1, "w3": 1}


def right(workshop: FakeWorkshop, model: ModelRow) -> None:
    """The job is done, and its weights are those of an undisturbed run."""
    assert (model.status, model.error) == ("done", None)
    assert model.weights is not None
    weights = expected_weights(model.spec, initial_state(workshop.state_bytes))
    assert model.weights.digest == hashlib.sha256(weights).hexdigest()
    assert model.round == model.rounds
    assert [row["round"] for row in model.history] == list(range(1, model.rounds + 1))


@pytest.fixture
def workshop() -> FakeWorkshop:
    return FakeWorkshop(dict(PLACES))


def test_an_undisturbed_job_computes_every_shard_of_every_round_once(workshop: FakeWorkshop) -> None:
    model = workshop.create()
    workshop.work()
    right(workshop, model)
    shards = [(order.fields["round"], order.fields["shard"]) for order in workshop.orders]
    assert sorted(shards) == [(round_, shard) for round_ in range(model.rounds) for shard in range(3)]
    assert {order.worker for order in workshop.orders} >= {"w1", "w2"}
    assert not workshop.coordinator.jobs


def test_one_worker_alone_makes_the_same_bits() -> None:
    workshop = FakeWorkshop({"w1": 1})
    model = workshop.create()
    workshop.work()
    right(workshop, model)


def test_several_jobs_share_the_places(workshop: FakeWorkshop) -> None:
    models = [workshop.create(seed=seed) for seed in range(3)]
    workshop.loop.settle()
    workshop.coordinator.assign()
    assert len({order.fields["model"] for order in workshop.orders}) == 3
    workshop.work()
    for model in models:
        right(workshop, model)


def test_a_job_tells_where_the_time_of_its_rounds_goes(workshop: FakeWorkshop) -> None:
    """The fake workers say that a shard takes them 0.1 s; here the answer comes 0.3 s after it was given."""
    model = workshop.create(epochs=100)
    workshop.coordinator.assign()
    for _ in range(12):
        workshop.loop.advance(0.3)
        for order in workshop.open_orders():
            workshop.answer(order)
        workshop.loop.settle()
        workshop.coordinator.assign()
    live = workshop.coordinator.jobs[model.id].live
    assert live["round"] > 3
    assert live["computing_s"] == pytest.approx(0.1)
    assert live["travelling_s"] == pytest.approx(0.2, abs=0.01)


def test_jobs_make_rounds_at_the_same_pace(workshop: FakeWorkshop) -> None:
    models = [
        workshop.create(seed=seed, shards=shards, epochs=1_000) for seed, shards in enumerate((4, 4, 4))
    ]
    workshop.work(600)
    rounds = [workshop.coordinator.jobs[model.id].round for model in models]
    assert min(rounds) > 100
    assert max(rounds) - min(rounds) <= max(rounds) // 20


def test_a_job_of_many_shards_leaves_a_small_one_its_share(workshop: FakeWorkshop) -> None:
    small = workshop.create(shards=2, epochs=1_000)
    alone = FakeWorkshop(dict(PLACES))
    model = alone.create(shards=2, epochs=1_000)
    workshop.create(shards=16, epochs=1_000, batch=1)
    for each in (alone, workshop):
        each.work(400)
    most = alone.coordinator.jobs[model.id].round
    assert most > 100
    assert workshop.coordinator.jobs[small.id].round > most / 2


@pytest.mark.parametrize("seed", range(12))
def test_workers_that_join_leave_and_are_slow_at_any_moment_change_no_bit(seed: int) -> None:
    random = Random(seed)
    workshop = FakeWorkshop({"w0": 1})
    model = workshop.create(shards=random.randint(1, 6), epochs=random.randint(2, 9))
    names = itertools.count(1)
    computed: set[str] = set()
    for _ in range(5_000):
        if model.status not in UNFINISHED:
            break
        if random.random() < 0.05:
            workshop.workers[f"w{next(names)}"] = random.randint(1, 3)
        if random.random() < 0.03 and len(workshop.workers) > 1:
            left = random.choice(sorted(workshop.workers))
            del workshop.workers[left]
            workshop.coordinator.lost(left)
            for order in workshop.open_orders(left):
                workshop.answer(order, Unreachable("It is gone."))
        workshop.loop.advance(random.choice((0.01, 0.3)))
        workshop.coordinator.assign()
        for order in workshop.open_orders():
            slow = int(order.worker[1:]) % 3 == 1
            if random.random() < (0.05 if slow else 0.7):
                computed.add(order.worker)
                workshop.answer(order)
    right(workshop, model)
    assert computed


def test_no_worker_is_given_more_than_it_has_places(workshop: FakeWorkshop) -> None:
    workshop.create(shards=8)
    workshop.loop.settle()
    for _ in range(3):
        workshop.coordinator.assign()
    for worker, places in PLACES.items():
        assert len(workshop.open_orders(worker)) == places


def test_a_lost_worker_gives_its_shards_back(workshop: FakeWorkshop) -> None:
    model = workshop.create()
    workshop.loop.settle()
    workshop.coordinator.assign()
    lost = workshop.open_orders("w2")
    assert lost
    del workshop.workers["w2"]
    workshop.coordinator.lost("w2")
    for order in lost:
        workshop.answer(order, Unreachable("It is gone."))
    workshop.work()
    right(workshop, model)


def test_a_late_shard_is_given_again_and_the_first_answer_wins(workshop: FakeWorkshop) -> None:
    model = workshop.create()
    workshop.loop.settle()
    workshop.coordinator.assign()
    (late,) = workshop.open_orders("w2")
    for order in workshop.open_orders("w1") + workshop.open_orders("w3"):
        workshop.answer(order)
    workshop.loop.advance(coordinator.LATE_S + 2 * coordinator.LOOK_S)
    again = [order for order in workshop.open_orders() if order is not late]
    assert [order.fields["shard"] for order in again] == [late.fields["shard"]]
    workshop.answer(again[0])
    workshop.loop.settle()
    workshop.answer(late)
    workshop.work()
    right(workshop, model)


def test_a_shard_whose_workers_all_vanished_is_given_to_another(workshop: FakeWorkshop) -> None:
    workshop.workers["w4"] = 1
    model = workshop.create(shards=1)
    workshop.loop.settle()
    workshop.coordinator.assign()
    (first,) = workshop.open_orders()
    workshop.loop.advance(coordinator.LATE_S + 2 * coordinator.LOOK_S)
    silent = {order.worker for order in workshop.open_orders()}
    assert len(silent) == coordinator.COPIES_LIMIT
    for worker in silent:  # paused: their connections stand, but nothing is heard of them
        del workshop.workers[worker]
    workshop.loop.advance(2 * coordinator.LOOK_S)
    third = [order for order in workshop.open_orders() if order.worker not in silent]
    assert [order.fields["shard"] for order in third] == [first.fields["shard"]]
    workshop.answer(third[0])
    for _ in range(1000):
        workshop.loop.advance(0.1)
        workshop.coordinator.assign()
        for order in workshop.open_orders():
            if order.worker not in silent:
                workshop.answer(order)
    right(workshop, model)


def test_a_worker_that_forgot_the_state_is_sent_it_again(workshop: FakeWorkshop) -> None:
    model = workshop.create(shards=8)
    for _ in range(2000):
        workshop.loop.advance(0.01)
        workshop.coordinator.assign()
        for order in workshop.open_orders():
            workshop.answer(order)
            workshop.forget_states(order.worker)
    right(workshop, model)
    assert any(not order.state for order in workshop.orders)


def test_a_state_is_sent_once_to_each_worker(workshop: FakeWorkshop) -> None:
    workshop.create(shards=8)
    workshop.work(3)
    per_round = [order for order in workshop.orders if order.fields["round"] == 0 and order.worker == "w1"]
    assert len(per_round) > 1
    assert [bool(order.state) for order in per_round] == [True] + [False] * (len(per_round) - 1)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"loss": "low", "seconds": 1.0, "examples": 3},
        {"loss": None, "seconds": 1.0, "examples": 3},
        {"loss": [1], "seconds": 1.0, "examples": 3},
        {"loss": 0.5, "seconds": 1.0, "examples": 3},  # with a body of the wrong length
    ],
)
def test_a_malformed_answer_is_as_none(workshop: FakeWorkshop, answer: dict[str, Any]) -> None:
    model = workshop.create()
    workshop.loop.settle()
    workshop.coordinator.assign()
    (order,) = workshop.open_orders("w3")
    order.over = True
    order.done(answer, b"short")
    workshop.work()
    right(workshop, model)


def test_a_busy_worker_is_left_alone_for_a_while(workshop: FakeWorkshop) -> None:
    workshop.workers = {"w2": 1}
    workshop.create(shards=1)
    workshop.loop.settle()
    workshop.coordinator.assign()
    workshop.answer(workshop.open_orders()[0], Busy("Too many tasks wait."))
    workshop.coordinator.assign()
    assert workshop.open_orders() == []
    workshop.loop.advance(coordinator.REST_S + coordinator.LOOK_S)
    assert len(workshop.open_orders()) == 1


def test_a_shard_that_every_worker_refuses_ends_its_job_with_the_reason(workshop: FakeWorkshop) -> None:
    model = workshop.create(shards=1)
    for _ in range(100):
        workshop.loop.advance(0.1)
        workshop.coordinator.assign()
        for order in workshop.open_orders():
            workshop.answer(order, Refused("The answer cannot be sent."))
    assert model.status == "failed"
    assert model.error == "The answer cannot be sent."
    assert len(workshop.orders) == coordinator.REFUSALS_LIMIT


def test_a_failed_task_ends_the_job_with_its_traceback(workshop: FakeWorkshop) -> None:
    model = workshop.create()
    workshop.loop.settle()
    workshop.coordinator.assign()
    workshop.answer(workshop.open_orders()[0], TaskFailed("It broke.", "Mend it.", "Traceback ..."))
    workshop.loop.settle()
    assert (model.status, model.error, model.traceback) == ("failed", "It broke. Mend it.", "Traceback ...")
    workshop.loop.advance(10)
    assert not workshop.coordinator.jobs


def test_even_an_endless_reason_fits_the_log(workshop: FakeWorkshop) -> None:
    model = workshop.create()
    workshop.loop.settle()
    workshop.coordinator.assign()
    workshop.answer(workshop.open_orders()[0], TaskFailed("x" * 200_000, "y" * 200_000, "z" * 200_000))
    workshop.loop.settle()
    assert model.status == "failed"


@pytest.mark.parametrize("op", ["prepare", "initial", "average", "evaluate", "weights", "keep", "file_path"])
def test_a_refusal_on_the_way_ends_the_job_with_the_reason(workshop: FakeWorkshop, op: str) -> None:
    workshop.refuse[op] = Refused("It cannot be done.")
    model = workshop.create()
    workshop.work(200)
    assert (model.status, model.error) == ("failed", "It cannot be done.")


@pytest.mark.parametrize("what", ["average", "keep", "prepare", "dataset_ready", "finish_model"])
@pytest.mark.parametrize("error", [Busy("Try later."), Unreachable("Gone."), NotLeader("Not I.")])
def test_what_passes_stops_a_job_only_for_a_while(
    workshop: FakeWorkshop, what: str, error: MinkaError
) -> None:
    workshop.refuse[what] = error
    model = workshop.create()
    workshop.work(200)
    assert model.status in ("queued", "training")
    workshop.refuse.clear()
    workshop.work(3000, 0.05)
    right(workshop, model)


def test_after_a_checkpoint_a_new_leader_goes_on_from_it(workshop: FakeWorkshop) -> None:
    model = workshop.create(epochs=40)
    workshop.work(40, 0.1)
    reached = model.round
    assert 0 < reached < model.rounds
    workshop.new_leader()
    workshop.loop.settle()
    workshop.coordinator.assign()
    assert workshop.open_orders()[0].fields["round"] == reached
    workshop.work()
    right(workshop, model)


def test_the_leader_may_change_at_any_moment() -> None:
    for moment in range(0, 60, 7):
        workshop = FakeWorkshop(dict(PLACES))
        model = workshop.create()
        workshop.work(moment)
        workshop.new_leader()
        workshop.work()
        right(workshop, model)


def test_checkpoints_come_even_if_every_round_is_evaluated(workshop: FakeWorkshop) -> None:
    model = workshop.create(epochs=100, steps_per_round=6)  # an epoch each round
    for _ in range(60):
        workshop.slow = {"evaluate"}  # the answer comes only after the next round has begun
        waiting, workshop.waiting = workshop.waiting, []
        workshop.work(1, 0.1)
        for call in waiting:
            call()
        workshop.loop.settle()
    assert model.round > 0
    assert all(row["test_accuracy"] is not None for row in model.history)
    workshop.slow.clear()
    for call in workshop.waiting:
        call()
    workshop.work()
    right(workshop, model)


def test_training_does_not_run_away_from_its_evaluations(workshop: FakeWorkshop) -> None:
    model = workshop.create(epochs=100, steps_per_round=6)
    workshop.slow = {"evaluate"}
    workshop.work(200)
    assert len(workshop.waiting) == job.EVALUATIONS_LIMIT
    workshop.slow.clear()
    for call in workshop.waiting:
        call()
    workshop.work()
    right(workshop, model)


def test_states_too_large_for_one_frame_are_averaged_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averaging, "AVERAGE_BYTES", 100)
    workshop = FakeWorkshop(dict(PLACES))
    model = workshop.create(epochs=1)
    workshop.work()
    right(workshop, model)
    assert workshop.tasks.count("average") == model.rounds * 2


def test_no_average_asks_for_more_than_a_frame_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averaging, "AVERAGE_BYTES", 1 << 16)
    workshop = FakeWorkshop({"w1": 64}, state_bytes=1 << 12)
    sizes: list[int] = []
    compute = workshop.compute

    def measured(op: str, fields: dict[str, Any], body: bytes, done: Any) -> None:
        if op == "average":
            sizes.append(len(body))
            workshop.refuse["average"] = Refused("That is enough.")
        compute(op, fields, body, done)

    workshop.compute = measured  # type: ignore[method-assign]
    workshop.create(shards=64, epochs=1, batch=1)
    workshop.work(5)
    assert max(sizes) <= averaging.AVERAGE_BYTES < MAX_BODY_BYTES
    assert sum(sizes) == 64 << 12


def test_a_cancelled_job_stops_at_once(workshop: FakeWorkshop) -> None:
    model = workshop.create()
    workshop.work(3)
    session = workshop.commit(commands.OpenSession("someone", 1))
    assert isinstance(session, dict)
    workshop.commit(commands.CancelModel(Ticket(session["session"], 1, 0), model.id, 1))
    assert not workshop.coordinator.jobs
    for order in workshop.open_orders():
        workshop.answer(order)
    workshop.loop.advance(10)
    assert model.status == "cancelled"
    assert workshop.open_orders() == []


def test_a_job_that_is_cancelled_while_its_data_are_prepared_goes_no_further(workshop: FakeWorkshop) -> None:
    workshop.slow.add("prepare")
    model = workshop.create()
    (prepared,) = workshop.waiting
    session = workshop.commit(commands.OpenSession("someone", 1))
    assert isinstance(session, dict)
    workshop.commit(commands.CancelModel(Ticket(session["session"], 1, 0), model.id, 1))
    assert not workshop.coordinator.jobs
    prepared()
    workshop.work(20)
    assert (model.status, model.dataset) == ("cancelled", None)
    assert workshop.tasks == ["prepare"]
    assert not any(isinstance(proposal, commands.DatasetReady) for proposal in workshop.proposals)
    assert workshop.orders == []


def test_a_job_that_another_leader_has_moved_is_taken_up_from_there(workshop: FakeWorkshop) -> None:
    model = workshop.create(epochs=40)
    deposed = workshop.coordinator
    workshop.work(40, 0.1)
    workshop.new_leader()
    workshop.work()
    right(workshop, model)
    deposed.follow()


def test_who_does_not_lead_drives_nothing(workshop: FakeWorkshop) -> None:
    workshop.create()
    workshop.coordinator.follow()
    for order in workshop.open_orders():
        workshop.answer(order)
    workshop.loop.advance(10)
    workshop.coordinator.assign()
    assert workshop.open_orders() == []
    assert not workshop.coordinator.jobs


def test_a_long_history_keeps_its_course_and_its_end() -> None:
    history = [{"round": number} for number in range(1, 10 * HISTORY_ROWS + 4)]
    kept = thinned(history)
    assert len(kept) <= HISTORY_ROWS
    assert kept[-1] == history[-1]
    gaps = {after["round"] - before["round"] for before, after in itertools.pairwise(kept)}
    assert len(gaps) == 1
    assert thinned(history[:HISTORY_ROWS]) == history[:HISTORY_ROWS]
