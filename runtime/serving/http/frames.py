"""Messages of a WebSocket: texts of JSON, and bytes in the protocol's binary form.

A message of bytes is ``length (4 bytes, little-endian) | JSON of that length | bytes of tensors``: the body that the
protocol's extension for binary data puts behind ``Inference-Header-Content-Length``, with that length before it.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ....errors import RequestError
from ..protocol.json_form import parse_object, render
from ..protocol.json_text import read_json, write_json
from ..protocol.limits import shown
from ..protocol.request import InferResponse
from .infer import SMALL_BYTES, SMALL_ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ..protocol.limits import Limits
    from ..protocol.request import InferRequest

_LENGTH = struct.Struct("<I")
_WHAT = "the message"


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One message of a client.

    Attributes:
        found: its JSON object.
        behind: the bytes of tensors behind that.
        binary: whether it came as bytes.
    """

    found: dict[str, Any]
    behind: memoryview
    binary: bool

    @property
    def kind(self) -> str:
        """What it asks for: its ``type``; a message with inputs and without a type is a chunk."""
        kind = self.found.get("type", "chunk" if "inputs" in self.found else "")
        return kind if isinstance(kind, str) else ""

    def request(self, model: str, limits: Limits) -> InferRequest:
        """The tensors in it.

        Raises:
            RnnxError: as :func:`~rnnx.runtime.serving.protocol.json_form.parse_json`.
        """
        request = parse_object(self.found, self.behind, model=model, limits=limits)
        if request.sequence is not None:
            raise RequestError("a WebSocket is one stream, which needs no name. Leave the parameter sequence_id out.")
        return request


async def read_frame(content: str | bytes, limits: Limits) -> Frame:
    """A client's message; in another thread where reading it takes long.

    Raises:
        RequestError: it is no JSON object, or not of the binary form.
        RequestTooLargeError: its JSON is too long or too deep.
    """
    if isinstance(content, str):
        text, behind = memoryview(content.encode("utf-8", "surrogatepass")), memoryview(b"")
    else:
        if len(content) < _LENGTH.size:
            raise RequestError(f"a message of bytes begins with 4 bytes of length; found {len(content)} bytes.")
        (length,) = _LENGTH.unpack_from(content)
        whole = memoryview(content)[_LENGTH.size :]
        if length > len(whole):
            raise RequestError(f"the message says that its JSON has {length} bytes; {len(whole)} follow.")
        text, behind = whole[:length], whole[length:]
    if len(text) > SMALL_BYTES:
        found = await asyncio.to_thread(read_json, text, limits, _WHAT)
    else:
        found = read_json(text, limits, _WHAT)
    if not isinstance(found, dict):
        raise RequestError(f"{_WHAT} must be an object; found {shown(found)}.")
    return Frame(found=found, behind=behind, binary=not isinstance(content, str))


async def parse_frame(frame: Frame, model: str, limits: Limits) -> InferRequest:
    """The tensors of a message; in another thread where that takes long. Errors as :meth:`Frame.request`."""
    listed = frame.found.get("inputs")
    long = isinstance(listed, list) and any(
        isinstance(one, dict) and isinstance(one.get("data"), list) and len(one["data"]) > SMALL_ELEMENTS
        for one in listed
    )
    if long:
        return await asyncio.to_thread(frame.request, model, limits)
    return frame.request(model, limits)


async def answer_frame(
    request: InferRequest, outputs: Mapping[str, NDArray[np.generic]], *, sequence: int, binary: bool
) -> str | bytes:
    """The message that answers a chunk.

    Args:
        request: the chunk.
        outputs: the answer.
        sequence: the chunk's number.
        binary: whether tensors go as bytes.
    """
    response = InferResponse(model=request.model, version="1", id=request.id, outputs=outputs)
    request = replace(request, outputs=(), binary=binary)
    first = {"type": "answer", "sequence": sequence}
    if binary or sum(one.size for one in outputs.values()) <= SMALL_ELEMENTS:
        body = render(response, request, first=first)
    else:
        body = await asyncio.to_thread(render, response, request, first=first)
    if not binary:
        return body.content.decode()
    length = len(body.content) if body.json_bytes is None else body.json_bytes
    return _LENGTH.pack(length) + body.content


def plain_frame(value: dict[str, Any], *, binary: bool = False) -> str | bytes:
    """A message without tensors."""
    text = write_json(value)
    return _LENGTH.pack(len(text)) + text if binary else text.decode()
