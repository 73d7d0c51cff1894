"""Which libraries are missing, read from the file itself and asked of the loader."""

import ctypes
import struct
import sys
from pathlib import Path

import pytest

from rnnx.runtime import libraries
from rnnx.runtime.libraries import missing_libraries

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF is Linux's")


def elf(*needed: str) -> bytes:
    """A 64-bit ELF file that needs these libraries: header, one PT_LOAD, one PT_DYNAMIC, names, dynamic section."""
    names, offsets = b"\0", []
    for name in needed:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    address, names_at = 0x10000, 64 + 2 * 56
    dynamic_at = names_at + len(names)
    entries = [(1, one) for one in offsets] + [(5, address + names_at), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    size = dynamic_at + len(dynamic)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, size, size, 4096)
    section = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, address + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    return header + load + section + names + dynamic


@pytest.fixture
def library(tmp_path):
    def write(raw):
        path = tmp_path / "libprovider.so"
        path.write_bytes(raw)
        return path

    return write


def test_all_that_are_missing_are_named(library):
    path = library(elf("libnot-there.so.13", "libc.so.6", "libneither.so.1"))
    assert missing_libraries(path) == ("libnot-there.so.13", "libneither.so.1")
    assert missing_libraries(library(elf("libc.so.6", "libm.so.6"))) == ()
    assert missing_libraries(library(elf())) == ()


def test_a_library_beside_the_provider_is_found(library, tmp_path, monkeypatch):
    path = library(elf("libbeside.so.1"))
    (tmp_path / "libbeside.so.1").touch()
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", asked.append)
    assert missing_libraries(path) == ()
    assert asked == [str(tmp_path / "libbeside.so.1")]


def test_what_a_needed_library_needs_itself(library, monkeypatch):
    def load(name):
        if name == "libouter.so.1":
            raise OSError("libinner.so.2: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert missing_libraries(library(elf("libouter.so.1", "libc.so.6"))) == ("libinner.so.2",)


def test_another_reason_is_given(library, monkeypatch):
    def load(name):
        raise OSError(f"/lib/{name}: version `GLIBC_9.9' not found")

    monkeypatch.setattr(ctypes, "CDLL", load)
    (found,) = missing_libraries(library(elf("libc.so.6")))
    assert found == "libc.so.6 (/lib/libc.so.6: version `GLIBC_9.9' not found)"


@pytest.mark.parametrize("raw", [b"", b"MZ is no ELF file", elf("libc.so.6")[:100]], ids=["empty", "other", "cut"])
def test_a_file_that_cannot_be_read_is_given_to_the_loader(library, raw):
    (found,) = missing_libraries(library(raw))
    assert "libprovider.so" in found


def test_a_real_library():
    import onnxruntime

    (module,) = (Path(onnxruntime.__file__).parent / "capi").glob("onnxruntime_pybind11_state*.so")
    assert "libc.so.6" in libraries._needed(module)
    assert missing_libraries(module) == ()
