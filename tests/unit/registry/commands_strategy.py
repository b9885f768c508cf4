"""Random histories of commands, as a log would hold them."""

from hypothesis import strategies as st

from shared.evaluations import Evaluation
from shared.messages import Ticket
from worker.registry import commands
from worker.registry.commands import Blob, Command

SESSIONS = st.integers(1, 6)
MODELS = st.sampled_from(["m4", "m5", "m6", "m7"])
DIGESTS = st.sampled_from([character * 64 for character in "abcdef"])
BLOBS = st.builds(Blob, DIGESTS, st.just(100_000))
TIMES = st.integers(0, 3 * 24 * 3600 * 1000)
ROWS = st.lists(
    st.fixed_dictionaries({"round": st.integers(1, 9), "loss": st.floats(0, 9), "test_accuracy": st.none()}),
    max_size=3,
).map(tuple)
TICKETS = st.builds(Ticket, SESSIONS, st.integers(0, 9), st.integers(0, 3))

COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(commands.OpenSession, st.text("ab", min_size=1, max_size=3), TIMES),
    st.builds(
        commands.PutFile,
        TICKETS,
        st.text("xyz", max_size=2),
        DIGESTS,
        st.sampled_from([5, 100_000]),
        TIMES,
        st.booleans(),
    ),
    st.builds(commands.RemoveFile, TICKETS, st.integers(1, 12), TIMES),
    st.builds(
        commands.AddExample,
        TICKETS,
        st.sampled_from(["ants", "bees"]),
        st.sampled_from(["0", "1", "a/b"]),
        DIGESTS,
        st.sampled_from([5, 100_000]),
        TIMES,
        st.booleans(),
    ),
    st.builds(
        commands.CreateModel,
        TICKETS,
        st.text("m", max_size=2),
        st.just({"arch": "mlp", "epochs": 1}),
        st.dictionaries(st.sampled_from(["inputs", "outputs"]), st.integers(1, 8)),
        TIMES,
    ),
    st.builds(
        commands.DatasetReady,
        MODELS,
        BLOBS,
        st.just({"arch": "cnn", "epochs": 2}),
        st.just({}),
        st.just(9),
        TIMES,
    ),
    st.builds(
        commands.Checkpoint,
        MODELS,
        st.integers(1, 9),
        st.just(""),
        BLOBS,
        ROWS,
        st.just(1.5),
        TIMES,
        st.sampled_from(["", "ab" * 32]),
    ),
    st.builds(commands.FailModel, MODELS, st.just("why"), st.just("where"), TIMES),
    st.builds(
        commands.FinishModel,
        MODELS,
        st.just(""),
        BLOBS,
        ROWS,
        st.just(1.0),
        st.just(1.0),
        st.none(),
        st.just({}),
        TIMES,
    ),
    st.builds(commands.PromoteModel, TICKETS, MODELS, st.sampled_from(["a", "b", "1"]), TIMES),
    st.builds(commands.RollBackAlias, TICKETS, st.sampled_from(["m@a", "m@b", "mm@a"]), TIMES),
    st.builds(
        commands.NoteEvaluation,
        TICKETS,
        MODELS,
        st.builds(Evaluation, st.just("i"), st.just(5), st.floats(0, 2)),
        TIMES,
    ),
    st.builds(commands.CancelModel, TICKETS, MODELS, TIMES),
    st.builds(
        commands.NotePredictions,
        st.lists(st.text("ab", max_size=2), max_size=3).map(tuple),
        st.lists(st.text("xy", max_size=3), max_size=3).map(tuple),
        TIMES,
    ),
    st.builds(commands.Enlist, st.sampled_from(["w1", "w2"]), st.just("h:1"), st.just("i"), TIMES),
    st.builds(commands.Retire, TICKETS, st.sampled_from(["w1", "w2"]), TIMES),
)
