"""How much a request may ask for. Everything here is checked before anything is allocated for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ....errors import RequestError, RequestTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sized

_SHOWN = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The most that one request may bring or ask for.

    Attributes:
        body_bytes: bytes of a body, after it was decompressed, and of a gRPC message.
        json_bytes: bytes of JSON in a body. Python's objects are up to 25 times as large as their JSON, so that this
            is less than a body's; larger tensors come as bytes.
        tensors: inputs.
        elements: elements of one tensor.
        rank: axes of one tensor.
        nesting: brackets and braces of JSON that stand in each other.
        brackets: opening brackets and braces of JSON altogether. Millions of them, empty, are what takes a reader of
            JSON longest, seconds for a few megabytes; a tensor that is nested so finely can be sent flat.
        outputs: outputs asked for.
        parameters: parameters of a request, of an input or of an output.
        name_length: characters of a name (of a model, version, tensor or parameter) and of an id.
        text_length: characters of a parameter's value.
        header_bytes: bytes of all HTTP headers or gRPC metadata together.
        request_s: how long a request may wait and run, seconds; a client's own timeout can only shorten it.
    """

    body_bytes: int = 64 << 20
    json_bytes: int = 16 << 20
    tensors: int = 64
    elements: int = 1 << 26
    rank: int = 8
    nesting: int = 16
    brackets: int = 1 << 18
    outputs: int = 64
    parameters: int = 64
    name_length: int = 256
    text_length: int = 4096
    header_bytes: int = 16 << 10
    request_s: float = 30.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"the limit '{one.name}' is {value!r}. Give it a number above 0.")


def shown(value: object) -> str:
    """A value of a client's as it stands in a message: quoted, escaped and short."""
    if isinstance(value, str):
        value = value[: _SHOWN + 1]  # the representation of megabytes is megabytes
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"  # Python refuses to write numbers of thousands of digits
    elif isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def check_size(what: str, size: int, limit: int, unit: str = "bytes") -> None:
    """Refuse what is too large.

    Raises:
        RequestTooLargeError: ``size`` is above ``limit``.
    """
    if size > limit:
        raise RequestTooLargeError(f"{what} has {size} {unit}; at most {limit} are allowed here. Send less at once.")


def check_count(what: str, found: Sized, limit: int) -> None:
    """Refuse a collection of more than ``limit`` (RequestTooLargeError)."""
    check_size("the request", len(found), limit, what)


def check_text(what: str, value: object, limit: int, *, empty: bool = False) -> str:
    """A text of a client's.

    Raises:
        RequestError: it is no text, empty, or not valid Unicode.
        RequestTooLargeError: it is too long.
    """
    if not isinstance(value, str):
        raise RequestError(f"{what} must be a text; found {shown(value)}.")
    check_size(what, len(value), limit, "characters")
    if not value and not empty:
        raise RequestError(f"{what} must not be empty.")
    if not value.isascii():
        try:
            value.encode()  # JSON can hold half a surrogate pair, which nothing behind here can write
        except UnicodeEncodeError:
            raise RequestError(f"{what} is not valid Unicode: {shown(value)}.") from None
    return value


def check_shape(what: str, shape: Iterable[object], limits: Limits) -> tuple[tuple[int, ...], int]:
    """A tensor's shape and how many elements it has, computed without overflow.

    Args:
        what: the tensor, as a message names it.
        shape: the sizes that the client gave, of whatever type they are.
        limits: what is allowed.

    Raises:
        RequestError: a size is not a whole number from 0.
        RequestTooLargeError: too many axes or elements.
    """
    sizes = list(shape)
    check_size(f"the shape of {what}", len(sizes), limits.rank, "axes")
    count = 1
    checked: list[int] = []
    for size in sizes:
        if type(size) is not int or size < 0:
            raise RequestError(f"the shape of {what} must be of whole numbers from 0; found {shown(size)}.")
        if size > limits.elements:  # also beside an axis of none, where the product says nothing
            raise RequestTooLargeError(
                f"the shape of {what} has an axis of {shown(size)}; "
                f"at most {limits.elements} elements are allowed here."
            )
        count *= size
        checked.append(size)
    check_size(what, count, limits.elements, "elements")
    return tuple(checked), count
