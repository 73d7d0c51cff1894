"""Requests and answers of one call of ModelStreamInfer, whose heads repeat.

The steps of a stream differ in their tensors' bytes and in their ids. What else a message holds is its head: once one
was parsed, or written, an equal one need not be again. What is equal is decided by the serialized bytes, which hold
everything that a message holds, unknown fields too: equal bytes are equal messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .grpc_form import parse_message, render_message
from .limits import check_text, shown
from .proto import inference_pb2 as pb
from .request import InferRequest
from .tensors import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np

    from .limits import Limits
    from .request import InferResponse

#: How many heads a call remembers, and the longest of them in bytes: a stream has three, its first, inner and last.
_MOST_HEADS = 16
_LONGEST_HEAD = 512

# Tags of fields: number and wire type 2, a length and bytes (https://protobuf.dev/programming-guides/encoding).
_INFER_RESPONSE, _ID, _RAW = (
    bytes([descriptor.fields_by_name[name].number << 3 | 2])
    for descriptor, name in (
        (pb.ModelStreamInferResponse.DESCRIPTOR, "infer_response"),
        (pb.ModelInferResponse.DESCRIPTOR, "id"),
        (pb.ModelInferResponse.DESCRIPTOR, "raw_output_contents"),
    )
)


class _Tensor(NamedTuple):
    """An input of a head: its name, how an error calls it, and what its bytes are."""

    name: str
    what: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    elements: int


class _Asked(NamedTuple):
    """A head that was parsed: the request it came in, without its arrays and its id."""

    request: InferRequest
    tensors: tuple[_Tensor, ...]


class StepReader:
    """Parses the requests of one call."""

    def __init__(self, limits: Limits) -> None:
        """Know no head yet.

        Args:
            limits: what is allowed.
        """
        self._limits = limits
        self._known: dict[bytes, _Asked] = {}

    def parse(self, message: pb.ModelInferRequest) -> InferRequest:
        """The request that a message holds, as :func:`parse_message` gives it, and with its errors.

        Args:
            message: as it came. Its ``raw_input_contents`` are gone behind this, where it is refused too; arrays do not
                share its memory.
        """
        raw = message.raw_input_contents
        if not raw:
            return parse_message(message, self._limits)
        contents, name = list(raw), message.id
        message.ClearField("raw_input_contents")
        message.ClearField("id")
        head = message.SerializeToString()
        message.id = name
        asked = self._known.get(head)
        if asked is None or len(asked.tensors) != len(contents):
            message.raw_input_contents.extend(contents)
            request = parse_message(message, self._limits)
            if len(head) <= _LONGEST_HEAD:
                self._remember(head, request)
            return request
        first = asked.request
        return InferRequest(
            model=first.model,
            version=first.version,
            id=check_text("the 'id'", name, self._limits.name_length, empty=True) if name else "",
            inputs={
                tensor.name: from_bytes(tensor.what, data, tensor.dtype, tensor.shape, tensor.elements)
                for tensor, data in zip(asked.tensors, contents, strict=True)
            },
            outputs=first.outputs,
            sequence=first.sequence,
            timeout_us=first.timeout_us,
            parameters=first.parameters,
        )

    def _remember(self, head: bytes, request: InferRequest) -> None:
        if len(self._known) >= _MOST_HEADS:
            self._known.clear()
        self._known[head] = _Asked(
            request=InferRequest(
                model=request.model,
                version=request.version,
                inputs={},
                outputs=request.outputs,
                sequence=request.sequence,
                timeout_us=request.timeout_us,
                parameters=request.parameters,
            ),
            tensors=tuple(
                _Tensor(
                    name=name, what=f"input {shown(name)}", dtype=values.dtype, shape=values.shape, elements=values.size
                )
                for name, values in request.inputs.items()
            ),
        )


class _Frame(NamedTuple):
    """The bytes of an answer around its id and its tensors.

    Attributes:
        front: before the id.
        back: between the id and the tensors.
        raw: before each tensor.
        size: bytes of all these, and of the tensors.
    """

    front: bytes
    back: bytes
    raw: tuple[bytes, ...]
    size: int


class StepWriter:
    """Writes the answers of one call, each a whole ``ModelStreamInferResponse`` in its serialized form."""

    def __init__(self) -> None:
        """Know no head yet."""
        self._known: dict[Hashable, _Frame] = {}

    def render(self, response: InferResponse) -> bytes:
        """An answer, with ``triton_final_response``, for each request has one."""
        key = (
            response.model,
            response.version,
            # 1, 1.0 and True are equal, and stand in different fields of a message.
            tuple([(name, type(value), value) for name, value in response.parameters.items()]),
            tuple([(name, values.dtype, values.shape) for name, values in response.outputs.items()]),
        )
        frame = self._known.get(key)
        if frame is None:
            if len(self._known) >= _MOST_HEADS:
                self._known.clear()
            frame = self._known[key] = _frame(response)
        name = response.id.encode()
        named = _ID + _varint(len(name)) + name if name else b""
        parts = [
            _INFER_RESPONSE,
            _varint(frame.size + len(named)),
            frame.front,
            named,
            frame.back,
        ]
        for before, values in zip(frame.raw, response.outputs.values(), strict=True):
            parts.append(before)
            parts.append(to_bytes(values))
        return b"".join(parts)


def write_answer(answer: bytes | pb.ModelStreamInferResponse) -> bytes:
    """The bytes of an answer, which :meth:`StepWriter.render` has made already, or of a message."""
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def _frame(response: InferResponse) -> _Frame:
    whole = render_message(response)
    whole.parameters["triton_final_response"].bool_param = True
    front = pb.ModelInferResponse(model_name=whole.model_name, model_version=whole.model_version).SerializeToString()
    sizes = [len(one) for one in whole.raw_output_contents]
    for field in ("model_name", "model_version", "id", "raw_output_contents"):
        whole.ClearField(field)
    back = whole.SerializeToString()
    raw = tuple(_RAW + _varint(size) for size in sizes)
    return _Frame(front=front, back=back, raw=raw, size=len(front) + len(back) + sum(map(len, raw)) + sum(sizes))


def _varint(number: int) -> bytes:
    """A number of a message: seven bits a byte, the lowest first, the highest bit of all but the last byte set."""
    if number < 1 << 7:
        return bytes((number,))
    found = bytearray()
    while number >= 1 << 7:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
