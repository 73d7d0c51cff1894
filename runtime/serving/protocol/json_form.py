"""Requests and answers of ``POST v2/models/NAME/infer``: the JSON, and the bytes of tensors that follow it.

Sources: Open Inference Protocol v2, "Inference"; the extension for binary data (``binary_data_size``, ``binary_data``,
``binary_data_output``). Keys that the protocol does not have are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....errors import RequestError
from .datatypes import datatype_of, dtype_of
from .json_text import read_json, write_json
from .limits import check_count, check_shape, check_text, shown
from .parameters import check_offered, check_parameters, flag, read_settings
from .request import InferRequest, RequestedOutput
from .tensors import from_bytes, from_json, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from .limits import Limits
    from .request import InferResponse


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """An answer as HTTP carries it.

    Attributes:
        content: the JSON, and the bytes of outputs behind it.
        json_bytes: how long the JSON is, for the header Inference-Header-Content-Length; None where nothing follows it.
    """

    content: bytes
    json_bytes: int | None


def parse_json(
    text: bytes | memoryview, behind: memoryview, *, model: str, version: str = "", limits: Limits
) -> InferRequest:
    """The request that a body holds.

    Args:
        text: its JSON.
        behind: what follows the JSON: the bytes of inputs, in their order.
        model: name of the model, from the path.
        version: its version, from the path, or empty.
        limits: what is allowed.

    Raises:
        RequestError: it is not of the protocol's form, or sizes and tensors do not agree.
        RequestTooLargeError: there is more of something than is allowed.
        FeatureError: it asks for a part of the protocol that is not offered.
    """
    return parse_object(read_json(text, limits), behind, model=model, version=version, limits=limits)


def parse_object(found: object, behind: memoryview, *, model: str, version: str = "", limits: Limits) -> InferRequest:
    """As :func:`parse_json`, of JSON that was read with its limits."""
    if not isinstance(found, dict):
        raise RequestError(f"the body must be an object with 'inputs'; found {shown(found)}.")
    name = check_text("the 'id'", found.get("id", ""), limits.name_length, empty=True)
    settings = read_settings(check_parameters("the request", found.get("parameters"), limits), limits)
    return InferRequest(
        model=check_text("the model's name", model, limits.name_length),
        version=check_text("the model's version", version, limits.name_length, empty=True),
        id=name,
        inputs=_inputs(found.get("inputs"), behind, limits),
        outputs=_outputs(found.get("outputs"), limits),
        sequence=settings.sequence,
        timeout_us=settings.timeout_us,
        binary=settings.binary,
        parameters=settings.rest,
    )


def render(response: InferResponse, request: InferRequest, *, first: Mapping[str, Any] | None = None) -> Body:
    """An answer in the form that the request asks for: each output as JSON, or as bytes behind it.

    In JSON, NaN and infinities are ``NaN``, ``Infinity`` and ``-Infinity``, as Triton writes them.

    Args:
        response: the answer.
        request: what asked for it.
        first: more of the JSON, to stand before the answer's own.
    """
    asked = {one.name: one.binary for one in request.outputs}
    outputs: list[dict[str, Any]] = []
    parts = [b""]
    for name, values in response.outputs.items():
        output: dict[str, Any] = {"name": name, "datatype": datatype_of(values.dtype), "shape": list(values.shape)}
        wanted = asked.get(name)
        if request.binary if wanted is None else wanted:
            parts.append(to_bytes(values))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = values.ravel()
        outputs.append(output)
    head: dict[str, Any] = {
        **(first or {}),
        "model_name": response.model,
        "model_version": response.version,
    }
    if response.id:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = dict(response.parameters)
    parts[0] = write_json(head | {"outputs": outputs})
    return Body(content=b"".join(parts), json_bytes=len(parts[0]) if len(parts) > 1 else None)


def render_error(message: str) -> bytes:
    """The body of a refusal: ``{"error": message}``."""
    return write_json({"error": message})


def _inputs(found: object, behind: memoryview, limits: Limits) -> dict[str, NDArray[np.generic]]:
    if not isinstance(found, list) or not found:
        raise RequestError("'inputs' must be an array of at least one input.")
    check_count("inputs", found, limits.tensors)
    inputs: dict[str, NDArray[np.generic]] = {}
    at = 0
    for index, one in enumerate(found):
        name = _name("input", index, one, inputs, limits)
        what = f"input {shown(name)}"
        dtype = dtype_of(one.get("datatype"), what)
        shape = one.get("shape")
        if not isinstance(shape, list):
            raise RequestError(f"{what} must have a 'shape', an array of numbers; found {shown(shape)}.")
        sizes, count = check_shape(what, shape, limits)
        parameters = check_parameters(what, one.get("parameters"), limits)
        check_offered(what, parameters)
        size = parameters.get("binary_data_size")
        if size is None:
            if "data" not in one:
                raise RequestError(f"{what} has neither 'data' nor the parameter 'binary_data_size'. Give one of them.")
            inputs[name] = from_json(what, one["data"], dtype, sizes, count)
            continue
        if "data" in one:
            raise RequestError(f"{what} has both 'data' and the parameter 'binary_data_size'. Give one of them.")
        if type(size) is not int or size < 0:
            raise RequestError(f"the parameter 'binary_data_size' of {what} must be a number; found {shown(size)}.")
        if size > len(behind) - at:
            raise RequestError(
                f"{what} says that it has {shown(size)} bytes behind the JSON; {len(behind) - at} are left there. "
                "Give the length of the JSON in the header Inference-Header-Content-Length, and send every byte."
            )
        inputs[name] = from_bytes(what, behind[at : at + size], dtype, sizes, count)
        at += size
    if at != len(behind):
        raise RequestError(
            f"{len(behind)} bytes follow the JSON, and the inputs say that they have {at}. "
            "Give each its 'binary_data_size'."
        )
    return inputs


def _outputs(found: object, limits: Limits) -> tuple[RequestedOutput, ...]:
    if found is None:
        return ()
    if not isinstance(found, list):
        raise RequestError(f"'outputs' must be an array; found {shown(found)}. Leave it out for all outputs.")
    check_count("outputs", found, limits.outputs)
    outputs: dict[str, RequestedOutput] = {}
    for index, one in enumerate(found):
        name = _name("output", index, one, outputs, limits)
        what = f"output {shown(name)}"
        parameters = check_parameters(what, one.get("parameters"), limits)
        check_offered(what, parameters)
        binary = flag("binary_data", parameters["binary_data"]) if "binary_data" in parameters else None
        outputs[name] = RequestedOutput(name=name, binary=binary)
    return tuple(outputs.values())


def _name(kind: str, index: int, one: object, seen: dict[str, Any], limits: Limits) -> str:
    """The name of one input or output, after it was found to be an object of a name of its own."""
    if not isinstance(one, dict):
        raise RequestError(f"{kind} {index} must be an object; found {shown(one)}.")
    name = check_text(f"the name of {kind} {index}", one.get("name"), limits.name_length)
    if name in seen:
        raise RequestError(f"{kind} {shown(name)} stands twice in the request. Send each once.")
    return name
