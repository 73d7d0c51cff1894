"""Which states can lie in bound buffers, and where."""

import pytest

from rnnx.runtime.binding import binding_plan
from rnnx.signature import AxisRange, Signature, StateSpec, parse_tensor


def plan(
    state="s: float32[batch, 4]", output="t: float32[batch, 4]", provider="cpu", options=None, states=None, *, ranges=()
):
    face = Signature(
        inputs=(parse_tensor("x: float32[batch, time]"), parse_tensor(state)),
        outputs=tuple(map(parse_tensor, ("y: float32[batch, time]", "last: float32[1, batch]", output))),
        states=tuple(StateSpec(name=name, output=to) for name, to in (states or {"s": "t"}).items()),
        ranges=ranges,
    )
    return binding_plan(face, provider, options)


def test_what_is_bound_and_where():
    found = plan()
    assert [(one.name, one.output, one.axes) for one in found.states] == [("s", "t", (4,))]
    assert (found.rows, found.batch, found.device, found.device_id) == (("x", 0), None, "cpu", 0)
    assert [(name, axes) for name, _, axes in found.outputs] == [("y", None), ("last", (1, None))]
    options = {"TensorrtExecutionProvider": {"device_id": "3"}, "CUDAExecutionProvider": {"device_id": "3"}}
    for provider in ("cuda", "tensorrt"):
        found = plan(provider=provider, options=options)
        assert (found.device, found.device_id) == ("cuda", 3)
    fixed = plan(state="s: float32[2, 4]", output="t: float32[2, 4]")
    assert (fixed.batch, fixed.rows) == (2, None)


def test_an_output_of_the_only_size_that_an_axis_may_have_has_a_buffer():
    for least, most, axes in ((1, 1, (None, 1)), (1, 2, None), (1, None, None)):
        found = plan(ranges=(AxisRange(name="time", minimum=least, maximum=most),))
        assert {name: sizes for name, _, sizes in found.outputs}["y"] == axes


@pytest.mark.parametrize(
    "unlike",
    [
        {"state": "s: float32[batch, past]", "output": "t: float32[batch, past]"},
        {"output": "t: float32[batch, time]"},
        {"output": "t: float64[batch, 4]"},
        {"state": "s: int64[batch, 4] < 9", "output": "t: int64[batch, 4]"},
        {"states": {"s": None}},
        {"provider": "openvino"},
        {"provider": "cuda", "options": {"CUDAExecutionProvider": {"enable_cuda_graph": "1"}}},
        {"provider": "tensorrt", "options": {"TensorrtExecutionProvider": {"trt_cuda_graph_enable": "True"}}},
    ],
    ids=["growing", "axes", "dtype", "range", "no output", "provider", "CUDA graph", "TensorRT graph"],
)
def test_what_cannot_be_bound(unlike):
    assert plan(**unlike) is None
