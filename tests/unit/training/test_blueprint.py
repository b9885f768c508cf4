"""An architecture's text means one thing, agrees with the layers that are made of it, and is refused with advice."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused
from worker.training import architectures, blueprint, plan
from worker.training.blueprint import Conv, Dense, Dropout, Norm, Pool

FACTS = {
    "loss": "cross-entropy",
    "examples": 1_000,
    "labels": ["a", "b", "c"],
    "normalise": "plain",
    "mean": [100.0],
    "deviation": [50.0],
}

parts = st.one_of(
    st.builds(Conv, st.integers(1, 9), st.sampled_from([(1, 1), (3, 3), (5, 3)]), st.booleans()),
    st.builds(Pool, st.integers(2, 3)),
    st.builds(Norm),
    st.sampled_from([Dropout(0.5), Dropout(0.25)]),
)


def fit(arch: str, shape: list[int]) -> dict[str, Any]:
    return plan.fit_to_data(plan.resolve({"arch": arch}, cores=1), FACTS | {"input_shape": shape})


def test_a_text_is_read_and_written() -> None:
    text = "conv 8 5x5, pool 2,CONV 16  3x3 same, norm, dropout .25, dense 32, dense"
    read = blueprint.parse(text)
    assert read == (
        Conv(8, (5, 5), False),
        Pool(2),
        Conv(16, (3, 3), True),
        Norm(),
        Dropout(0.25),
        Dense(32),
        Dense(None),
    )
    assert (
        blueprint.written(read) == "conv 8 5x5, pool 2, conv 16 3x3 same, norm, dropout 0.25, dense 32, dense"
    )
    assert blueprint.parse(blueprint.written(read)) == read


def test_the_example_has_the_shapes_and_parameters_that_one_computes_by_hand() -> None:
    read = blueprint.parse("conv 8 5x5, pool 2, conv 16 5x5, pool 2, dense 10")
    assert blueprint.shapes(read, [28, 28, 1]) == (
        (28, 1, 28),
        (24, 8, 24),
        (12, 8, 12),
        (8, 16, 8),
        (4, 16, 4),
        (10,),
    )
    assert blueprint.parameters(read, [28, 28, 1]) == [
        ("1.conv.weight", (8, 1, 5, 5)),
        ("1.conv.bias", (8,)),
        ("3.conv.weight", (16, 8, 5, 5)),
        ("3.conv.bias", (16,)),
        ("5.dense.weight", (256, 10)),
        ("5.dense.bias", (10,)),
    ]
    assert blueprint.products(read, [28, 28, 1]) == 1 + 24 * 24 * 8 * 25 + 8 * 8 * 16 * 200 + 2_560


@given(chain=st.lists(parts, max_size=6), width=st.one_of(st.none(), st.integers(1, 9)))
def test_what_the_node_reckons_is_what_the_layers_are(chain: list[Any], width: int | None) -> None:
    chain = [*chain, *([Dense(width)] if width else []), Dense(None)]
    read = blueprint.with_outputs(chain, 3)
    try:
        blueprint.shapes(read, [11, 12, 1])
    except Refused:
        return  # its pools leave nothing
    spec = fit(blueprint.written(read), [11, 12, 1])
    layers = architectures.layers(spec)
    assert [shape for layer in layers for shape in layer.parameter_shapes] == [
        tuple(shape) for _, shape in spec["parameters"]
    ]
    assert layers[-1].output_shape == (3,)
    assert plan.parameter_count(spec) == sum(
        math.prod(shape) for layer in layers for shape in layer.parameter_shapes
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "conv 8 5x5",
        "dense, dense",
        "conv 8, dense",
        "conv 8 5, dense",
        "conv 8 5x5 valid, dense",
        "conv 8 4x4 same, dense",
        "conv 0 5x5, dense",
        "conv 8 0x5, dense",
        "conv ٣ 5x5, dense",
        "conv 8 99x99, dense",
        "pool 1, dense",
        "dense 99999",
        "dense -3",
        "dropout 1.5, dense",
        "dropout 0.0001, dense",
        "norm 3, dense",
        "softmax",
        "dense 8,,dense",
        "transformer",
        ",".join(["norm"] * 70) + ", dense",
        "dense " + "9" * 3_000,
    ],
)
def test_a_text_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        blueprint.parse(text)


@given(text=st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = blueprint.parse(text)
    except Refused:
        return
    assert blueprint.parse(blueprint.written(read)) == read


@pytest.mark.parametrize(
    ("arch", "match"),
    [
        ("conv 8 5x5, pool 2, conv 8 5x5, pool 2, dense", "too large: the images are 2 x 2"),
        ("pool 9, dense", "too large"),
        ("dense 8, conv 8 1x1, dense", "no images"),
        ("dense 4", "'dense 4', but the data set has 3 different outputs"),
    ],
)
def test_an_architecture_that_does_not_fit_the_data_is_refused_before_memory_is_taken(
    arch: str, match: str
) -> None:
    with pytest.raises(Refused, match=match):
        fit(arch, [8, 8, 1])


def test_a_network_that_needs_too_much_memory_is_refused() -> None:
    with pytest.raises(Refused, match="GiB"):
        fit("conv 64 3x3 same, pool 2, pool 16, dense", [1_024, 1_024, 1])
