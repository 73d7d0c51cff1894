"""Requests and answers as protobuf messages."""

from __future__ import annotations

import numpy as np
import pytest

from rnnx.errors import FeatureError, RequestError, RequestTooLargeError
from rnnx.runtime.serving.protocol import grpc_form, metadata
from rnnx.runtime.serving.protocol.datatypes import DTYPES
from rnnx.runtime.serving.protocol.limits import Limits
from rnnx.runtime.serving.protocol.proto import inference_pb2 as pb
from rnnx.runtime.serving.protocol.request import InferResponse, RequestedOutput, Sequence
from rnnx.signature import Signature, StateSpec, parse_tensor

LIMITS = Limits()
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
RAW = VALUES.tobytes()


def message(*, raw=RAW, shape=(2, 3), datatype="FP32", name="x", **said) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name="m", **said)
    made.inputs.add(name=name, datatype=datatype, shape=shape)
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


def parse(made, limits=LIMITS):
    return grpc_form.parse_message(pb.ModelInferRequest.FromString(made.SerializeToString()), limits)


def test_everything_that_a_client_says_is_read():
    made = message(id="seven", model_version="1")
    made.parameters["sequence_id"].uint64_param = 2**64 - 1
    made.parameters["sequence_start"].bool_param = True
    made.parameters["timeout"].int64_param = 1500
    made.parameters["share"].double_param = 0.5
    made.parameters["note"].string_param = "here"
    made.outputs.add(name="y")
    request = parse(made)
    np.testing.assert_array_equal(request.inputs["x"], VALUES, strict=True)
    assert (request.model, request.version, request.id) == ("m", "1", "seven")
    assert request.sequence == Sequence(id=2**64 - 1, start=True)
    assert request.timeout_us == 1500
    assert request.parameters == {"share": 0.5, "note": "here"}
    assert request.outputs == (RequestedOutput(name="y"),)


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-(2**15), 2**15 - 1]),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 2**16 - 1]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, float("inf")]),
        ("FP64", "fp64_contents", [1e300, -0.1]),
    ],
)
def test_typed_contents(datatype, field, values):
    made = message(raw=None, shape=(2, 1), datatype=datatype)
    getattr(made.inputs[0].contents, field).extend(values)
    expected = np.array(values, DTYPES[datatype]).reshape(2, 1)
    np.testing.assert_array_equal(parse(made).inputs["x"], expected, strict=True)


def test_typed_contents_of_nothing():
    assert parse(message(raw=None, shape=(0, 3), datatype="INT8")).inputs["x"].shape == (0, 3)


def typed(datatype, field, values, shape=(2,)):
    made = message(raw=None, shape=shape, datatype=datatype)
    getattr(made.inputs[0].contents, field).extend(values)
    return made


def both():
    made = message()
    made.inputs[0].contents.fp32_contents.extend([1])
    return made


def two_inputs(names=("x", "z"), raws=1):
    made = message()
    made.inputs.add(name=names[1], datatype="FP32", shape=(2, 3))
    made.inputs[0].name = names[0]
    for _ in range(raws - 1):
        made.raw_input_contents.append(VALUES.tobytes())
    return made


def with_parameter(name, **value):
    made = message()
    for key, one in value.items():
        setattr(made.parameters[name], key, one)
    if not value:
        made.parameters[name].SetInParent()
    return made


def with_outputs(*names):
    made = message()
    for name in names:
        made.outputs.add(name=name)
    return made


def classification():
    made = with_outputs("y")
    made.outputs[0].parameters["classification"].int64_param = 3
    return made


@pytest.mark.parametrize(
    ("made", "kind", "expected"),
    [
        (pb.ModelInferRequest(model_name="m"), RequestError, "has no 'inputs'"),
        (pb.ModelInferRequest(), RequestError, "the 'model_name' must not be empty"),
        (message(raw=bytes(23)), RequestError, r"FP32 and shape \[2, 3\] takes 24 bytes; found 23"),
        (message(raw=bytes(25)), RequestError, "takes 24 bytes; found 25"),
        (message(raw=b"\x02", shape=(1,), datatype="BOOL"), RequestError, "bytes other than 0 and 1"),
        (message(shape=(2, -3)), RequestError, "whole numbers from 0; found -3"),
        (message(shape=(2**40, 2**40)), RequestTooLargeError, "an axis of 1099511627776; at most 67108864"),
        (message(shape=(1,) * 9), RequestTooLargeError, "has 9 axes; at most 8"),
        (message(datatype="BF16"), FeatureError, "send FP32"),
        (message(datatype="BYTES"), FeatureError, "no model here takes texts"),
        (message(datatype="float"), RequestError, "has the datatype 'float'"),
        (message(name=""), RequestError, "the name of input 0 must not be empty"),
        (message(id="i" * 257), RequestTooLargeError, "the 'id' has 257 characters"),
        (both(), RequestError, "has 'contents', and the request has 'raw_input_contents'"),
        (two_inputs(), RequestError, "2 inputs and 1 'raw_input_contents'"),
        (two_inputs(raws=3), RequestError, "2 inputs and 3 'raw_input_contents'"),
        (two_inputs(names=("x", "x"), raws=2), RequestError, "input 'x' stands twice"),
        (with_outputs("y", "y"), RequestError, "output 'y' stands twice"),
        (with_outputs(*map(str, range(65))), RequestTooLargeError, "65 outputs; at most 64"),
        (classification(), FeatureError, "classification is not offered"),
        (typed("FP32", "fp32_contents", [1]), RequestError, "takes 2 elements in 'fp32_contents'; found 1"),
        (typed("FP32", "fp64_contents", [1, 2]), RequestError, "must have 'fp32_contents'; found 'fp64_contents'"),
        (typed("INT8", "int_contents", [1, 128]), RequestError, "has 128, which is out of the range of INT8"),
        (typed("UINT16", "uint_contents", [1, 65536]), RequestError, "out of the range of UINT16: 0 to 65535"),
        (typed("FP16", "fp32_contents", [1, 2]), FeatureError, "datatype 'FP16': send it in 'raw_input_contents'"),
        (with_parameter("a"), RequestError, "the parameter 'a' has no value"),
        (with_parameter("sequence_id", double_param=5.0), RequestError, "whole number from 0 .*; found 5.0"),
        (with_parameter("sequence_id", int64_param=-1), RequestError, "whole number from 0 .*; found -1"),
        (with_parameter("sequence_start", int64_param=1), RequestError, "must be true or false; found 1"),
        (with_parameter("timeout", string_param="1"), RequestError, "'timeout' must be a whole number"),
    ],
)
def test_a_wrong_request_is_refused(made, kind, expected):
    with pytest.raises(RequestError, match=expected) as raised:
        parse(made)
    assert raised.type is kind


def test_an_answer():
    response = InferResponse(
        model="m",
        version="1",
        id="7",
        outputs={"y": VALUES.T, "k": np.int64([3])},
        parameters={"sequence_id": 2**64 - 1, "sequence_end": True, "small": -1, "share": 0.5, "note": "here"},
    )
    made = pb.ModelInferResponse.FromString(grpc_form.render_message(response).SerializeToString())
    assert (made.model_name, made.model_version, made.id) == ("m", "1", "7")
    assert [(one.name, one.datatype, list(one.shape)) for one in made.outputs] == [
        ("y", "FP32", [3, 2]),
        ("k", "INT64", [1]),
    ]
    assert list(made.raw_output_contents) == [VALUES.T.copy().tobytes(), (3).to_bytes(8, "little")]
    assert made.parameters["sequence_id"].uint64_param == 2**64 - 1
    assert grpc_form.read_parameters(made.parameters) == dict(response.parameters)


def test_parameters_of_a_load_may_be_bytes():
    made = pb.RepositoryModelLoadRequest()
    made.parameters["file:1/model.onnx"].bytes_param = b"\x00"
    made.parameters["config"].string_param = "{}"
    assert grpc_form.read_parameters(made.parameters) == {"file:1/model.onnx": b"\x00", "config": "{}"}


SIGNATURE = Signature(
    inputs=(parse_tensor("x: float32[batch, time, 3]"), parse_tensor("h_0: float32[batch, 8]")),
    outputs=(parse_tensor("y: float32[batch, time, 5]"), parse_tensor("h_n: float32[batch, 8]")),
    states=(StateSpec(name="h_0", output="h_n"),),
)


def test_what_a_model_says_of_itself_as_messages():
    found = grpc_form.metadata_message(metadata.model_metadata("m", SIGNATURE, parameters={"bundle": "abc"}))
    assert (found.name, list(found.versions), found.platform) == ("m", ["1"], "rnnx_onnxruntime")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [("x", "FP32", [-1, -1, 3])]
    config = metadata.model_config("m", SIGNATURE, max_batch=8, max_streams=100, idle_us=5, file="a.onnx")
    made = grpc_form.config_message(config).config
    assert made.max_batch_size == 8
    assert made.WhichOneof("scheduling_choice") == "sequence_batching"
    assert made.sequence_batching.oldest.max_candidate_sequences == 100
    assert made.sequence_batching.state[0].output_name == "h_n"
    assert made.input[0].data_type == pb.TYPE_FP32
    assert list(made.input[0].dims) == [-1, 3]
    assert list(made.version_policy.specific.versions) == [1]


def test_the_server_its_index_and_statistics_as_messages():
    assert grpc_form.server_message(metadata.server_metadata("9")).version == "9"
    index = grpc_form.index_message([{"name": "m", "version": "1", "state": "READY", "reason": ""}])
    assert index.models[0].state == "READY"
    duration = {"count": 2, "ns": 2**63}
    one = {
        "name": "m",
        "version": "1",
        "last_inference": 5,
        "inference_count": 6,
        "execution_count": 2,
        "inference_stats": {"success": duration, "queue": duration},
        "batch_stats": [{"batch_size": 3, "compute_infer": duration}],
    }
    made = grpc_form.statistics_message({"model_stats": [one]}).model_stats[0]
    assert made.inference_stats.queue.ns == 2**63
    assert made.batch_stats[0].compute_infer.count == 2
