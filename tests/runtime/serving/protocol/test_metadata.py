"""What models and the server say of themselves."""

from __future__ import annotations

from rnnx.manifest import BEGUN, ENDING
from rnnx.runtime.serving.protocol.metadata import (
    faces,
    model_config,
    model_metadata,
    optional_inputs,
    server_metadata,
)
from rnnx.signature import LengthsSpec, Signature, StateSpec, TensorSpec, parse_tensor

OFFLINE = Signature(
    inputs=(parse_tensor("x: float32[batch, time, 40]"), parse_tensor("lengths: int64[batch]")),
    outputs=(TensorSpec(name="y", dtype="float16", axes=("batch", "time//2", 5)),),
    lengths=(LengthsSpec(name="lengths", axis="time"),),
)
STREAMING = Signature(
    inputs=(
        parse_tensor("x: float32[batch, time, 40]"),
        parse_tensor("h_0: float32[batch, 8]"),
        parse_tensor(f"{BEGUN}: int64[batch]"),
        parse_tensor(f"{ENDING}: int64[batch]"),
    ),
    outputs=(
        parse_tensor("y: float32[batch, time, 5]"),
        parse_tensor("h_n: float32[batch, 8]"),
        parse_tensor("begun_n: int64[batch]"),
    ),
    states=(StateSpec(name="h_0", output="h_n"), StateSpec(name=BEGUN, output="begun_n"), StateSpec(name=ENDING)),
)


def test_the_server():
    found = server_metadata("1.2")
    assert (found["name"], found["version"]) == ("rnnx", "1.2")
    assert {"binary_tensor_data", "sequence", "statistics", "model_repository"} <= set(found["extensions"])


def test_a_model():
    assert model_metadata("asr", OFFLINE, parameters={"bundle_sha256": "ab"}) == {
        "name": "asr",
        "versions": ["1"],
        "platform": "rnnx_onnxruntime",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, -1, 40]},
            {"name": "lengths", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [{"name": "y", "datatype": "FP16", "shape": [-1, -1, 5]}],
        "parameters": {"bundle_sha256": "ab"},
    }


def test_states_are_the_servers_or_ordinary_tensors():
    inputs, outputs = faces(STREAMING, states=False)
    assert [spec.name for spec in inputs] == ["x"]
    assert [spec.name for spec in outputs] == ["y"]
    assert faces(STREAMING, states=True) == (STREAMING.inputs, STREAMING.outputs)
    names = [one["name"] for one in model_metadata("asr.streaming", STREAMING, states=True)["inputs"]]
    assert names == ["x", "h_0", BEGUN, ENDING]


def test_what_may_be_left_out():
    assert optional_inputs(OFFLINE, states=False) == {"lengths"}
    assert optional_inputs(STREAMING, states=True) >= {"h_0", BEGUN, ENDING}
    assert "x" not in optional_inputs(STREAMING, states=True)


def test_the_configuration_of_a_batched_model():
    found = model_config("asr", OFFLINE, max_batch=64, max_delay_us=500, max_queue=256, file="fp32.onnx")
    assert found["max_batch_size"] == 64
    assert found["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 40]},
        {"name": "lengths", "data_type": "TYPE_INT64", "dims": [], "optional": True},
    ]
    assert found["output"] == [{"name": "y", "data_type": "TYPE_FP16", "dims": [-1, 5]}]
    assert found["dynamic_batching"] == {
        "max_queue_delay_microseconds": 500,
        "default_queue_policy": {"allow_timeout_override": True, "max_queue_size": 256},
    }
    assert found["default_model_filename"] == "fp32.onnx"


def test_the_configuration_of_a_model_whose_batch_is_not_axis_0():
    layers_first = Signature(inputs=(parse_tensor("h: float32[2, batch, 8]"),), outputs=OFFLINE.outputs)
    found = model_config("m", layers_first, max_batch=64)
    assert found["max_batch_size"] == 0
    assert found["input"][0]["dims"] == [2, -1, 8]
    assert "dynamic_batching" not in found


def test_the_configuration_of_a_model_that_keeps_states():
    found = model_config("asr", STREAMING, max_batch=64, max_streams=1000, idle_us=60_000_000)
    assert found["sequence_batching"]["max_sequence_idle_microseconds"] == 60_000_000
    assert found["sequence_batching"]["oldest"]["max_candidate_sequences"] == 1000
    assert found["sequence_batching"]["state"] == [
        {"input_name": "h_0", "output_name": "h_n", "data_type": "TYPE_FP32", "dims": [8]},
        {"input_name": BEGUN, "output_name": "begun_n", "data_type": "TYPE_INT64", "dims": []},
    ]
    assert "dynamic_batching" not in found
