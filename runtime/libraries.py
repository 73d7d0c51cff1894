"""Which shared libraries a provider's library needs and this machine lacks.

ONNX Runtime only logs that it could not load a provider and goes on without it, so the question is put to the
loader directly: the names that the library needs are read from its ELF dynamic section (Tool Interface Standard,
ELF specification 1.2, part 2) and each is tried. That names all that are missing; the loader itself stops at the
first.
"""

from __future__ import annotations

import ctypes
import re
import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_MISSING = re.compile(r"([^\s:]+): cannot open shared object file: No such file")

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_LONGEST_NAME_BYTES = 4096


def missing_libraries(library: Path) -> tuple[str, ...]:
    """Names of the libraries that ``library`` needs and the loader does not find, directly or through another.

    A library that the loader refuses for another reason is given as ``name (reason)``. Where the file cannot be read
    as 64-bit little-endian ELF, the loader is asked for ``library`` itself, which names the first one only.
    """
    try:
        needed = _needed(library)
    except (OSError, struct.error, ValueError):
        needed = [str(library)]
    found: dict[str, None] = {}
    for name in needed:
        beside = library.parent / name
        problem = _problem(str(beside) if beside.is_file() else name)
        if problem:
            found[problem] = None
    return tuple(found)


def _problem(name: str) -> str:
    """Why the loader does not take this library, or empty."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        match = _MISSING.search(str(error))
        return match[1] if match else f"{name} ({error})"
    return ""


def _needed(library: Path) -> list[str]:
    """The DT_NEEDED entries of an ELF file."""
    with library.open("rb") as stream:
        if stream.read(6) != b"\x7fELF\x02\x01":
            raise ValueError(f"'{library}' is not 64-bit little-endian ELF")
        stream.seek(32)
        (headers_at,) = struct.unpack("<Q", stream.read(8))
        stream.seek(54)
        header_size, count = struct.unpack("<HH", stream.read(4))
        segments = [_segment(stream, headers_at + number * header_size) for number in range(count)]
        loads = [one for one in segments if one[0] == _PT_LOAD]
        _, at, _, size = next((one for one in segments if one[0] == _PT_DYNAMIC), (0, 0, 0, 0))
        stream.seek(at)
        entries = []
        for tag, value in struct.iter_unpack("<qQ", stream.read(size)):
            if tag == _DT_NULL:
                break
            entries.append((tag, value))
        table = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
        # The table's place is an address in memory; the segment that holds it says where that is in the file.
        offset = next(
            (table - address + start for _, start, address, extent in loads if address <= table < address + extent),
            table,
        )
        return [_text(stream, offset + value) for tag, value in entries if tag == _DT_NEEDED]


def _segment(stream: BinaryIO, at: int) -> tuple[int, int, int, int]:
    """Type, offset in the file, address in memory and size in the file of one segment."""
    stream.seek(at)
    kind, _, offset, address, _, size = struct.unpack("<IIQQQQ", stream.read(40))
    return kind, offset, address, size


def _text(stream: BinaryIO, at: int) -> str:
    stream.seek(at)
    return stream.read(_LONGEST_NAME_BYTES).split(b"\0", 1)[0].decode()
