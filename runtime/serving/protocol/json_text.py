"""JSON: somebody else's, read with a limit on its size and depth; and ours, with tensors in it.

orjson (extra ``serve``) reads a tensor of 8,000 numbers 9 times and writes it 20 times as fast as the standard library.
It has no NaN and no infinities, so what holds those goes through the standard library; so does everything without it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import RequestError, RequestTooLargeError
from .limits import check_size

if TYPE_CHECKING:
    from .limits import Limits

orjson: Any = importlib.import_module("orjson") if importlib.util.find_spec("orjson") else None

#: A whole text, or one that does not end: brackets in it mean nothing.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
#: What each byte does to the depth.
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
#: Bytes looked at at once: what this takes beside the body does not grow with the body.
_BLOCK = 1 << 18


def depth_of(text: bytes) -> int:
    """How many brackets and braces stand in each other, at most; of a broken text, no fewer than a parser meets."""
    bare = _TEXT.sub(b"", text)
    depth = deepest = 0
    for start in range(0, len(bare), _BLOCK):
        steps = _STEPS[np.frombuffer(bare, np.uint8, min(_BLOCK, len(bare) - start), start)]
        levels = np.cumsum(steps, dtype=np.int64)
        deepest = max(deepest, depth + int(levels.max()))
        depth += int(levels[-1])
    return deepest


def read_json(text: bytes | memoryview, limits: Limits, what: str = "the body") -> Any:  # noqa: ANN401  (any JSON)
    """The value that JSON text stands for.

    ``NaN``, ``Infinity`` and ``-Infinity`` are taken, which JSON itself does not have: Triton and its clients write
    and read them.

    Raises:
        RequestError: it is no JSON.
        RequestTooLargeError: it is too long or too deep.
    """
    check_size(f"the JSON of {what}", len(text), limits.json_bytes)
    text = bytes(text)
    openings = text.count(b"[") + text.count(b"{")
    check_size(f"the JSON of {what}", openings, limits.brackets, "brackets")
    # Few openings cannot be deep, whatever texts there are: this is the case for tensors that come as bytes.
    if openings > limits.nesting:
        depth = depth_of(text)
        if depth > limits.nesting:
            raise RequestTooLargeError(
                f"the JSON of {what} is {depth} brackets deep; at most {limits.nesting} are allowed here. "
                "Send tensors flat."
            )
    if orjson is not None:
        # What it refuses may still be right, and the other's messages are known.
        with contextlib.suppress(ValueError):
            return orjson.loads(text)
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise RequestError(f"{what} is not UTF-8 at byte {error.start}. Send JSON, in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise RequestError(f"{what} is not JSON: {error.msg} at character {error.pos}. {_HINT}") from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits; depth is ruled out above, unless somebody's limit is beyond Python's.
        raise RequestError(f"{what} cannot be read: {error}.") from None


def write_json(value: dict[str, Any]) -> bytes:
    """JSON text of a value whose arrays are 1-d and contiguous.

    NaN and infinities become ``NaN``, ``Infinity`` and ``-Infinity``, as Triton writes them. Strict readers of JSON
    refuse those; a client that expects them asks for outputs as bytes.
    """
    if orjson is not None and not _has_infinite(value):
        with contextlib.suppress(TypeError):  # half a surrogate pair, a number of more than 64 bits
            return bytes(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
    return json.dumps(value, default=np.ndarray.tolist, separators=(",", ":")).encode()


def _has_infinite(value: object) -> bool:
    """Whether there is a NaN or an infinity in a value, which orjson would write as ``null``."""
    if isinstance(value, dict):
        return any(map(_has_infinite, value.values()))
    if isinstance(value, list):
        return any(map(_has_infinite, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and not bool(np.isfinite(value).all())
    return isinstance(value, float) and not math.isfinite(value)


_HINT = "Where bytes follow the JSON, give its length in the header Inference-Header-Content-Length."
