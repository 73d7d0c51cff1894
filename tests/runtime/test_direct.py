"""ONNX Runtime's compiled run where it is as expected, and its documented one where not."""

import numpy as np
import pytest

import rnnx
from rnnx.errors import SessionError
from rnnx.runtime.direct import direct_run


class Compiled:
    """What stands behind a session; its documentation is what pybind11 writes."""

    def __init__(self, doc, *, captures=False):
        def run(names, feed, options):
            return ["compiled", names, feed, options]

        run.__doc__ = doc
        self.run = run
        self.is_webgpu_graph_capture_enabled = lambda: captures


class Wrapper:
    """ONNX Runtime's own class."""

    def __init__(self, compiled=None):
        if compiled is not None:
            self._sess = compiled

    def run(self, names, feed):
        return ["documented", names, feed]


EXPECTED = "run(self: InferenceSession, arg0: Sequence[str], arg1: Mapping, arg2: RunOptions) -> list"


def test_the_compiled_run_is_called_as_it_is():
    assert direct_run(Wrapper(Compiled(EXPECTED)))(["y"], {"x": 1}) == ["compiled", ["y"], {"x": 1}, None]


@pytest.mark.parametrize(
    "compiled",
    [
        None,
        Compiled(None),
        Compiled("run(self: InferenceSession, arg0: Sequence[str], arg1: Mapping) -> list"),
        Compiled("run(self: InferenceSession, arg0: str, arg1: Mapping, arg2: RunOptions, arg3: int) -> list"),
        Compiled(EXPECTED, captures=True),
    ],
    ids=["none", "no documentation", "two arguments", "four arguments", "a captured graph"],
)
def test_whatever_looks_different_is_left_to_the_documented_run(compiled):
    assert direct_run(Wrapper(compiled))(["y"], {"x": 1}) == ["documented", ["y"], {"x": 1}]


def test_this_version_of_onnx_runtime_is_called_directly(make_lstm, monkeypatch):
    with rnnx.load(make_lstm(), provider="cpu", threads=1) as session:
        feed = {
            "features": np.ones((2, 3, 3), np.float32),
            "lengths": np.array([3, 1]),
            "h_0": np.zeros((1, 2, 4), np.float32),
            "c_0": np.zeros((1, 2, 4), np.float32),
        }
        names = ["y", "h_n", "c_n"]
        expected = session.opened().run(names, feed)
        monkeypatch.setattr(type(session.opened()), "run", lambda *_: pytest.fail("the documented run was called"))
        for name, array in zip(names, expected, strict=True):
            np.testing.assert_array_equal(session.run(feed)[name], array)
    with pytest.raises(SessionError, match="is closed"):
        session.run(feed)
