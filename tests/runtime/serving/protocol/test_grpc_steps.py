"""Requests and answers whose heads were seen before: the same as those that are read and written anew."""

from __future__ import annotations

import numpy as np
import pytest

from rnnx.errors import RequestError, RequestTooLargeError
from rnnx.runtime.serving.protocol.grpc_form import parse_message, render_message
from rnnx.runtime.serving.protocol.grpc_steps import StepReader, StepWriter, write_answer
from rnnx.runtime.serving.protocol.limits import Limits
from rnnx.runtime.serving.protocol.proto import inference_pb2 as pb
from rnnx.runtime.serving.protocol.request import InferResponse

LIMITS = Limits()
RANDOM = np.random.default_rng(0)


def message(*, name="step", frames=3, key=7, start=False, dtype="<f4", datatype="FP32", outputs=()):
    """A chunk of a sequence with one raw input, and its values."""
    values = (RANDOM.standard_normal((1, frames, 2)) * 100).astype(dtype)
    made = pb.ModelInferRequest(model_name="leaky", id=name)
    made.inputs.add(name="x", datatype=datatype, shape=values.shape)
    made.raw_input_contents.append(values.tobytes())
    made.parameters["sequence_id"].int64_param = key
    made.parameters["sequence_start"].bool_param = start
    made.parameters["note"].string_param = "kept"
    for one in outputs:
        made.outputs.add(name=one)
    return made, values


def copied(made):
    return pb.ModelInferRequest.FromString(made.SerializeToString())


def told(request):
    """All of a request, comparable."""
    inputs = {key: (value.dtype.str, value.shape, value.tobytes()) for key, value in request.inputs.items()}
    others = (request.outputs, request.sequence, request.timeout_us, request.binary, dict(request.parameters))
    return request.model, request.version, request.id, inputs, *others


def test_every_step_is_what_parsing_it_alone_gives():
    reader = StepReader(LIMITS)
    kinds = [
        {"start": True},
        {},
        {"name": ""},
        {"frames": 5},
        {"key": 8},
        {"dtype": "<i8", "datatype": "INT64"},
        {"outputs": ("y", "z")},
    ]
    for number in range(4 * len(kinds)):
        made, values = message(**{"name": f"n{number}", **kinds[number % len(kinds)]})
        expected = told(parse_message(copied(made), LIMITS))
        found = reader.parse(copied(made))
        assert told(found) == expected
        np.testing.assert_array_equal(found.inputs["x"], values)


def test_what_is_remembered_is_bounded_and_forgotten_heads_are_read_again():
    reader = StepReader(LIMITS)
    for key in [*range(1, 100), *range(1, 100)]:
        assert reader.parse(message(key=key)[0]).sequence.id == key
    assert len(reader._known) <= 16
    wide = message(outputs=[f"output{number}" for number in range(60)])[0]
    before = len(reader._known)
    assert len(reader.parse(wide).outputs) == 60
    assert len(reader._known) == before


def test_a_later_step_is_checked_as_the_first_was():
    reader = StepReader(LIMITS)
    good, values = message()
    reader.parse(copied(good))
    short = copied(good)
    short.raw_input_contents[0] = values.tobytes()[:-4]
    with pytest.raises(
        RequestError, match=r"input 'x' of datatype FP32 and shape \[1, 3, 2\] takes 24 bytes; found 20"
    ):
        reader.parse(short)
    assert short.id == "step"  # what tells the error still knows whose it is
    two = copied(good)
    two.raw_input_contents.append(b"")
    with pytest.raises(RequestError, match="1 inputs and 2 'raw_input_contents'"):
        reader.parse(two)
    long = copied(good)
    long.id = "i" * (LIMITS.name_length + 1)
    with pytest.raises(RequestTooLargeError, match="the 'id' has"):
        reader.parse(long)
    np.testing.assert_array_equal(reader.parse(good).inputs["x"], values)


def test_bytes_of_a_bool_are_looked_at_in_every_step():
    reader = StepReader(LIMITS)

    def made(raw):
        asked = pb.ModelInferRequest(model_name="m")
        asked.inputs.add(name="b", datatype="BOOL", shape=[2])
        asked.raw_input_contents.append(raw)
        return asked

    assert reader.parse(made(b"\0\1")).inputs["b"].tolist() == [False, True]
    with pytest.raises(RequestError, match="bytes other than 0 and 1"):
        reader.parse(made(b"\0\2"))


def test_a_field_that_is_not_known_is_part_of_the_head():
    reader = StepReader(LIMITS)
    good, _ = message()
    more = pb.ModelInferRequest.FromString(good.SerializeToString() + b"\xfa\x3e\x03abc")  # field 1007
    assert told(reader.parse(copied(good))) == told(reader.parse(more))
    assert len(reader._known) == 2


def test_typed_contents_go_the_long_way():
    made = pb.ModelInferRequest(model_name="m", id="1")
    made.inputs.add(name="x", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1.5, 2.5])
    reader = StepReader(LIMITS)
    for _ in range(2):
        assert reader.parse(copied(made)).inputs["x"].tolist() == [1.5, 2.5]
    assert not reader._known


def response(**more):
    outputs = {
        "y": RANDOM.standard_normal((1, 3, 2)).astype(np.float32),
        "n": np.arange(4, dtype=np.int64),
        "none": np.zeros((0, 3), np.float16),
    }
    return InferResponse(**{"model": "leaky", "version": "1", "outputs": outputs, **more})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"id": "a"},
        {"id": "é" * 90},
        {"parameters": {"sequence_id": 1, "sequence_start": True, "sequence_end": False}},
        {"parameters": {"sequence_id": "one", "big": 2**63, "part": 0.5}},
        {"outputs": {}},
        {"outputs": {"wide": np.zeros((1, 300, 80), np.float32)}},
        {"outputs": {"turned": np.arange(6, dtype=np.float32).reshape(2, 3).T}},
        {"outputs": {"other": np.arange(3, dtype=">f4")}},
    ],
    ids=["plain", "id", "long-id", "sequence", "parameters", "nothing", "wide", "turned", "big-endian"],
)
def test_an_answer_is_what_writing_it_alone_gives(more):
    writer = StepWriter()
    for _ in range(2):  # the second by what is remembered
        made = response(**more)
        expected = pb.ModelStreamInferResponse()
        render_message(made, expected.infer_response)
        expected.infer_response.parameters["triton_final_response"].bool_param = True
        assert pb.ModelStreamInferResponse.FromString(writer.render(made)) == expected
    assert len(writer._known) == 1


def test_parameters_of_equal_values_keep_their_types():
    writer = StepWriter()
    for value, field in ((1, "int64_param"), (True, "bool_param"), (1.0, "double_param"), (1, "int64_param")):
        found = pb.ModelStreamInferResponse.FromString(writer.render(response(parameters={"p": value})))
        assert found.infer_response.parameters["p"].WhichOneof("parameter_choice") == field


def test_answers_remembered_are_bounded():
    writer = StepWriter()
    for number in range(100):
        made = response(id=str(number), parameters={"sequence_id": number + 1})
        found = pb.ModelStreamInferResponse.FromString(writer.render(made)).infer_response
        assert (found.id, found.parameters["sequence_id"].int64_param) == (str(number), number + 1)
    assert len(writer._known) <= 16


def test_bytes_are_written_as_they_are_and_messages_serialized():
    failed = pb.ModelStreamInferResponse(error_message="no")
    assert write_answer(failed) == failed.SerializeToString()
    assert write_answer(b"\x0a\x02no") == b"\x0a\x02no"
