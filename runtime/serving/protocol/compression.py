"""Compressed bodies: ``Content-Encoding`` of requests and ``Accept-Encoding`` of answers.

Source: RFC 9110, sections 8.4 and 12.5.3. A body of a few kilobytes can inflate to gigabytes, so inflating stops at
the limit.
"""

from __future__ import annotations

import zlib

from ....errors import MediaError, RequestError, RequestTooLargeError
from .limits import check_size, shown

#: Answers that are smaller go as they are: compressing costs more time than it saves.
SMALLEST = 1024
#: The fastest level: floating-point numbers do not get smaller by searching longer.
LEVEL = 1

#: gzip may be of several members, one behind the other; each copies what is left of the body.
MEMBERS = 16

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_BARE = -zlib.MAX_WBITS
_ALIASES = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """A request's body as it was before compression.

    Args:
        body: the bytes that came.
        encoding: the header Content-Encoding, or empty.
        most: the most bytes that it may inflate to.

    Raises:
        MediaError: the encoding is not known here.
        RequestError: the body is not of that encoding, is cut off, or something follows it.
        RequestTooLargeError: it has, or inflates to, more than ``most`` bytes.
    """
    check_size("the body", len(body), most)
    name = _ALIASES.get(encoding.strip().lower())
    if name is None:
        raise MediaError(f"the body's Content-Encoding is {shown(encoding)}. Send it as it is, or as gzip or deflate.")
    if not name:
        return body
    inflated: list[bytes] = []
    size = 0
    while body or not inflated:
        machine = zlib.decompressobj(_GZIP if name == "gzip" else _ZLIB if _has_zlib_header(body) else _BARE)
        try:
            part = machine.decompress(body, most - size + 1)
        except zlib.error as error:
            raise RequestError(f"the body is not {name}: {error}.") from None
        size += len(part)
        if size > most:
            raise RequestTooLargeError(
                f"the body of {name} inflates to more than {most} bytes, which is the most that is allowed here."
            )
        if not machine.eof:
            raise RequestError(f"the body of {name} is cut off: its end is missing after {size} bytes of content.")
        inflated.append(part)
        if name == "deflate" and machine.unused_data:
            raise RequestError(f"{len(machine.unused_data)} bytes follow the body of deflate. Leave them out.")
        if len(inflated) == MEMBERS and machine.unused_data:
            raise RequestError(f"the body of gzip has more than {MEMBERS} members. Send it as one.")
        body = machine.unused_data
    return b"".join(inflated)


def choose(accept: str) -> str:
    """Which encoding an answer may have by the header Accept-Encoding: ``gzip``, ``deflate`` or empty for none."""
    weights: dict[str, float] = {}
    for one in accept.lower().split(","):
        name, *parameters = (part.strip() for part in one.split(";"))
        weights[_ALIASES.get(name, name)] = _weight(parameters)
    plain = weights.get("", 0.0) if "identity" in accept.lower() else 0.0
    found = {name: weights.get(name, weights.get("*", 0.0)) for name in ("gzip", "deflate")}
    best = max(found, key=lambda name: found[name])
    return best if found[best] > 0 and found[best] >= plain else ""


def compress(body: bytes, encoding: str) -> tuple[bytes, str]:
    """An answer's body and its Content-Encoding: the one that was chosen, or empty where it is not worth it."""
    if not encoding or len(body) < SMALLEST:
        return body, ""
    machine = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP if encoding == "gzip" else _ZLIB)
    smaller = machine.compress(body) + machine.flush()
    return (smaller, encoding) if len(smaller) < len(body) else (body, "")


def _has_zlib_header(body: bytes) -> bool:
    """Whether a body of ``deflate`` is what RFC 9110 says, and not bare, as some clients send it (RFC 1950, 2.2)."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _weight(parameters: list[str]) -> float:
    for one in parameters:
        if one.startswith("q="):
            try:
                return float(one[2:])
            except ValueError:
                return 0.0
    return 1.0
