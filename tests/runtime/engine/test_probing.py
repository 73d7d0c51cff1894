"""What must not be batched is found out when an engine begins, and said."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import rnnx
from rnnx.runtime.engine import Engine
from rnnx.signature import AxisRange, LengthsSpec, Signature, parse_tensor

DECLARED = ("x: float32[batch, time]", "lengths: int64[batch]")


@pytest.fixture
def make(make_bundle, tmp_path):
    """``make(nodes, outputs)``: a session of a graph over ``x`` and ``lengths``."""
    opened = []

    def make_one(nodes, outputs, *, inputs=DECLARED, constants=None, tight=False, ranges=()):
        lengths = (LengthsSpec(name="lengths", axis="time", tight=tight),) if "lengths: int64[batch]" in inputs else ()
        signature = Signature(
            inputs=tuple(parse_tensor(one) for one in inputs),
            outputs=tuple(parse_tensor(one) for one in outputs),
            lengths=lengths,
            ranges=tuple(ranges),
        )
        seen = [helper.make_node("Identity", ["lengths"], ["seen"])] if "seen: int64[batch]" in outputs else []
        path = make_bundle(tmp_path / f"made{len(opened)}.rnnx", signature, [*nodes, *seen], constants or {})
        opened.append(rnnx.load(path, provider="cpu"))
        return opened[-1]

    yield make_one
    for session in opened:
        session.close()


OVER_TIME = {"constants": {"axis": np.array([1])}}
OVER_BATCH = {"constants": {"axis": np.array([0])}}


def answers_together(engine, *times):
    futures = [engine.submit({"x": np.arange(1, time + 1, dtype=np.float32)[None]}) for time in times]
    return [one.result(30) for one in futures]


def test_a_mean_over_padding_is_not_padded(make):
    node = helper.make_node("ReduceMean", ["x", "axis"], ["y"], keepdims=0)
    session = make([node], ["y: float32[batch]", "seen: int64[batch]"], **OVER_TIME)
    with Engine(session, max_delay_ms=20) as engine:
        (note,) = engine.notes
        assert note.startswith("requests of different sizes do not share a run: answers change with padding: 'y'")
        found = answers_together(engine, 3, 5, 3)
    assert [one.outputs["y"].tolist() for one in found] == [[2], [3], [2]]
    assert [one.batch for one in found] == [2, 1, 2]
    with Engine(session, max_delay_ms=20, probe=False) as engine:  # who believes the signature is told nonsense
        assert answers_together(engine, 3, 5)[0].outputs["y"].tolist() != [2]


def test_rows_that_meet_are_run_alone(make):
    nodes = [
        helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    session = make(nodes, ["y: float32[batch, time]", "seen: int64[batch]"], **OVER_BATCH)
    with Engine(session, max_delay_ms=20) as engine:
        (note,) = engine.notes
        assert note.startswith("requests run one by one: answers change in company: 'y' differs, by")
        found = answers_together(engine, 4, 4)
    assert [one.batch for one in found] == [1, 1]
    assert all((one.outputs["y"] == 0).all() for one in found)


@pytest.mark.parametrize(
    ("nodes", "outputs", "options", "note"),
    [
        ([("Identity", ["x"], ["y"])], ["y: float32[batch, time]", "seen: int64[batch]"], {}, None),
        (
            [("Identity", ["x"], ["y"])],
            ["y: float32[batch, time]", "seen: int64[batch]"],
            {"tight": True},
            (
                "requests of different sizes do not share a run: the answers depend on where the longest row ends "
                "along 'time'"
            ),
        ),
        (
            [("ReduceSum", ["x"], ["y"], {"keepdims": 0})],
            ["y: float32[]", "seen: int64[batch]"],
            {},
            "requests run one by one: output 'y' has no axis 'batch': y: float32[]",
        ),
        (
            [("Identity", ["x"], ["y"])],
            ["y: float32[batch, steps]", "seen: int64[batch]"],
            {},
            "requests run one by one: the axis 'steps' of output 'y' does not follow from one request's own sizes",
        ),
        (
            [("Identity", ["x"], ["y"])],
            ["y: float32[1, time]"],
            {"inputs": ["x: float32[1, time]"]},
            "requests run one by one: the variant has no axis 'batch' of any size",
        ),
        (
            [("Add", ["x", "bias"], ["y"])],
            ["y: float32[batch, time]"],
            {"inputs": ["x: float32[batch, time]", "bias: float32[time]"]},
            "requests run one by one: input 'bias' has no axis 'batch': bias: float32[time]",
        ),
    ],
)
def test_notes(make, nodes, outputs, options, note):
    made = [helper.make_node(*one[:3], **(one[3] if len(one) > 3 else {})) for one in nodes]
    with Engine(make(made, outputs, **options)) as engine:
        assert engine.notes == (() if note is None else (note,))


def test_a_request_that_cannot_be_tried_is_said(make):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]  # takes one size, which no range says
    session = make(nodes, ["y: float32[batch, time]"], constants={"shape": np.array([1, 17])})
    with Engine(session) as engine:
        (note,) = engine.notes
        assert note.startswith(
            "requests run one by one: whether answers stay the same could not be tried: ONNX Runtime"
        )


def test_nan_of_both_is_no_difference(make):
    nodes = [helper.make_node("Sqrt", ["x"], ["y"])]
    with Engine(make(nodes, ["y: float32[batch, time]", "seen: int64[batch]"])) as engine:
        assert engine.notes == ()


def test_the_declared_batch_is_never_passed(make):
    ranges = [AxisRange(name="batch", minimum=2, maximum=4, multiple_of=2)]
    session = make(
        [helper.make_node("Identity", ["x"], ["y"])], ["y: float32[batch, time]", "seen: int64[batch]"], ranges=ranges
    )
    with Engine(session, max_delay_ms=20) as engine:
        assert engine.notes == ()
        futures = [engine.submit({"x": np.full((2, 3), n, np.float32)}) for n in range(3)]
        assert [one.result(30).batch for one in futures] == [4, 4, 2]
        for n, one in enumerate(futures):
            assert (one.result().outputs["y"] == n).all()
