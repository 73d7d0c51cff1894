"""Writes ``runtime/probe_lstm.onnx``, the tiny LSTM that ``rnnx doctor`` tries on every provider.

It is committed because the runtime must not need the onnx package. Run this file to write it again;
``test_doctor.py`` holds the committed bytes against :func:`probe_bytes`.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

import rnnx
from rnnx.runtime import probe


def probe_bytes() -> bytes:
    """The ONNX file. Its opset and IR version are old, so that every ONNX Runtime that rnnx allows takes it."""
    shape = [probe.TIME, probe.BATCH, probe.FEATURES]
    w, r, b = probe.weights()
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], name="probe", hidden_size=probe.HIDDEN)],
        "probe_lstm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [probe.TIME, 1, probe.BATCH, probe.HIDDEN])],
        [numpy_helper.from_array(value, name) for name, value in (("w", w), ("r", r), ("b", b))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="rnnx")
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


if __name__ == "__main__":
    (Path(rnnx.__file__).parent / "runtime" / probe.FILE).write_bytes(probe_bytes())
