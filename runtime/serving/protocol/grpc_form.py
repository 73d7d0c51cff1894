"""Requests and answers of the gRPC service: protobuf messages and the values of :mod:`.request`.

Source: Open Inference Protocol v2, "GRPC". Tensors come as ``raw_input_contents``, one entry an input, or as typed
``contents`` in each input; a request has one form, not both. Answers have ``raw_output_contents``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from google.protobuf import json_format

from ....errors import FeatureError, RequestError
from .datatypes import datatype_of, dtype_of
from .limits import check_count, check_shape, check_size, check_text, shown
from .parameters import check_offered, check_parameters, read_settings
from .proto import inference_pb2 as pb
from .request import InferRequest, RequestedOutput
from .tensors import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message
    from numpy.typing import NDArray

    from .limits import Limits
    from .request import InferResponse, Parameter

M = TypeVar("M", bound="Message")

#: The field of InferTensorContents that holds a datatype's elements. FP16 has none: it comes as bytes.
_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


def parse_message(message: pb.ModelInferRequest, limits: Limits) -> InferRequest:
    """The request that a message holds.

    Args:
        message: as it came; arrays do not share its memory.
        limits: what is allowed.

    Raises:
        RequestError: it is not of the protocol's form, or sizes and tensors do not agree.
        RequestTooLargeError: there is more of something than is allowed.
        FeatureError: it asks for a part of the protocol that is not offered.
    """
    settings = read_settings(_parameters("the request", message.parameters, limits), limits)
    return InferRequest(
        model=check_text("the 'model_name'", message.model_name, limits.name_length),
        version=check_text("the 'model_version'", message.model_version, limits.name_length, empty=True),
        id=check_text("the 'id'", message.id, limits.name_length, empty=True),
        inputs=_inputs(message, limits),
        outputs=_outputs(message, limits),
        sequence=settings.sequence,
        timeout_us=settings.timeout_us,
        parameters=settings.rest,
    )


def render_message(response: InferResponse, message: pb.ModelInferResponse | None = None) -> pb.ModelInferResponse:
    """An answer as a message: a new one, or an empty one that stands in another message already."""
    if message is None:
        message = pb.ModelInferResponse()
    message.model_name, message.model_version, message.id = response.model, response.version, response.id
    for name, values in response.outputs.items():
        message.outputs.add(name=name, datatype=datatype_of(values.dtype), shape=values.shape)
        message.raw_output_contents.append(to_bytes(values))
    for key, value in response.parameters.items():
        write_parameter(message.parameters[key], value)
    return message


def write_parameter(message: pb.InferParameter, value: Parameter) -> None:
    """Put a value into the field of its type; numbers from 2**63 go into the unsigned one.

    Raises:
        ValueError: the number has more than 64 bits.
    """
    if isinstance(value, bool):
        message.bool_param = value
    elif isinstance(value, int):
        if value < 2**63:
            message.int64_param = value
        else:
            message.uint64_param = value
    elif isinstance(value, float):
        message.double_param = value
    else:
        message.string_param = value


def read_parameters(found: Mapping[str, Message]) -> dict[str, Any]:
    """Parameters as values: of InferParameter or of ModelRepositoryParameter, whose values may be bytes.

    Raises:
        RequestError: a parameter has no value.
    """
    values: dict[str, Any] = {}
    for name, one in found.items():
        field = one.WhichOneof("parameter_choice")
        if field is None:
            raise RequestError(f"the parameter {shown(name)} has no value, or one of a type that is not known here.")
        values[name] = getattr(one, field)
    return values


def metadata_message(found: Mapping[str, Any]) -> pb.ModelMetadataResponse:
    """A model's metadata as a message, which has no place for its parameters."""
    return _message({key: value for key, value in found.items() if key != "parameters"}, pb.ModelMetadataResponse())


def server_message(found: Mapping[str, Any]) -> pb.ServerMetadataResponse:
    """The server's metadata as a message."""
    return _message(found, pb.ServerMetadataResponse())


def config_message(found: Mapping[str, Any]) -> pb.ModelConfigResponse:
    """A model's configuration as a message."""
    return _message({"config": found}, pb.ModelConfigResponse())


def statistics_message(found: Mapping[str, Any]) -> pb.ModelStatisticsResponse:
    """Statistics (``{"model_stats": [...]}``) as a message."""
    return _message(found, pb.ModelStatisticsResponse())


def index_message(found: list[dict[str, Any]]) -> pb.RepositoryIndexResponse:
    """The index of the models as a message."""
    return _message({"models": found}, pb.RepositoryIndexResponse())


def _message(found: Mapping[str, Any], empty: M) -> M:
    return cast("M", json_format.ParseDict(dict(found), empty))


def _parameters(what: str, found: Mapping[str, pb.InferParameter], limits: Limits) -> dict[str, Parameter]:
    check_count(f"parameters of {what}", found, limits.parameters)
    return check_parameters(what, read_parameters(found), limits)


def _inputs(message: pb.ModelInferRequest, limits: Limits) -> dict[str, NDArray[np.generic]]:
    check_count("inputs", message.inputs, limits.tensors)
    raw = message.raw_input_contents
    if not message.inputs:
        raise RequestError("the request has no 'inputs'. Send at least one.")
    if raw and len(raw) != len(message.inputs):
        raise RequestError(
            f"the request has {len(message.inputs)} inputs and {len(raw)} 'raw_input_contents'. Send one for each."
        )
    inputs: dict[str, NDArray[np.generic]] = {}
    for index, one in enumerate(message.inputs):
        name = check_text(f"the name of input {index}", one.name, limits.name_length)
        what = f"input {shown(name)}"
        if name in inputs:
            raise RequestError(f"{what} stands twice in the request. Send each once.")
        dtype = dtype_of(one.datatype, what)
        shape, count = check_shape(what, one.shape, limits)
        check_offered(what, _parameters(what, one.parameters, limits))
        if not raw:
            inputs[name] = _typed(what, one, dtype, shape, count)
        elif one.HasField("contents"):
            raise RequestError(f"{what} has 'contents', and the request has 'raw_input_contents'. Send one of the two.")
        else:
            check_size(what, len(raw[index]), limits.body_bytes)
            inputs[name] = from_bytes(what, raw[index], dtype, shape, count)
    return inputs


def _typed(
    what: str,
    tensor: pb.ModelInferRequest.InferInputTensor,
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
    count: int,
) -> NDArray[np.generic]:
    """The tensor in an input's typed contents."""
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise FeatureError(f"{what} has the datatype '{tensor.datatype}': send it in 'raw_input_contents'.")
    others = [one.name for one, _ in tensor.contents.ListFields() if one.name != field]
    if others:
        raise RequestError(f"{what} of datatype {tensor.datatype} must have '{field}'; found '{others[0]}'.")
    found = getattr(tensor.contents, field)
    if len(found) != count:
        raise RequestError(
            f"{what} of datatype {tensor.datatype} and shape {list(shape)} takes {count} elements in '{field}'; "
            f"found {len(found)}."
        )
    wide = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}.get(field, dtype)
    values: NDArray[np.generic] = np.fromiter(found, wide, count)
    if wide != dtype and count:
        info = np.iinfo(dtype)  # type: ignore[type-var]
        for extreme in (int(values.min()), int(values.max())):
            if not info.min <= extreme <= info.max:
                raise RequestError(
                    f"{what} has {extreme}, which is out of the range of {tensor.datatype}: {info.min} to {info.max}."
                )
    return values.astype(dtype, copy=False).reshape(shape)


def _outputs(message: pb.ModelInferRequest, limits: Limits) -> tuple[RequestedOutput, ...]:
    check_count("outputs", message.outputs, limits.outputs)
    outputs: dict[str, RequestedOutput] = {}
    for index, one in enumerate(message.outputs):
        name = check_text(f"the name of output {index}", one.name, limits.name_length)
        if name in outputs:
            raise RequestError(f"output {shown(name)} stands twice in the request. Ask for each once.")
        check_offered(f"output {shown(name)}", _parameters(f"output {shown(name)}", one.parameters, limits))
        outputs[name] = RequestedOutput(name=name)
    return tuple(outputs.values())
