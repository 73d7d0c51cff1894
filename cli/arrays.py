"""Arrays from files and into files, for commands."""

from __future__ import annotations

import secrets
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..errors import InputError, UnsafePathError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ..signature import Signature


def read_inputs(declarations: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Arrays by input name from ``NAME=FILE.npy``, ``FILE.npz`` and ``NAME=NUMBER`` declarations.

    A number becomes a scalar int64 or float64; :func:`fitted` gives it the dtype that its input has.

    Raises:
        click.BadParameter: a declaration is of another form.
        InputError: a file cannot be read, or a name is given twice.
    """
    found: dict[str, NDArray[Any]] = {}
    for declaration in declarations:
        name, equals, file = declaration.partition("=")
        if equals and name and file.endswith(".npy"):
            named: Mapping[str, NDArray[Any]] = {name: read_array(file)}
        elif declaration.endswith(".npz"):
            named = _read_named(declaration)
        elif equals and name and (number := _number(file)) is not None:
            named = {name: number}
        else:
            raise click.BadParameter(
                f"'{declaration}' is neither NAME=FILE.npy nor FILE.npz nor NAME=NUMBER.", param_hint="'--input'"
            )
        for one, array in named.items():
            if one in found:
                raise InputError(f"input '{one}' is given twice, the second time by '{declaration}'. Give it once.")
            found[one] = array
    return found


def fitted(arrays: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, NDArray[Any]]:
    """The arrays, scalars with the dtype that the signature gives their input where that holds them exactly."""
    dtypes = {spec.name: spec.dtype for spec in signature.inputs}
    return {
        name: array.astype(dtypes[name])
        if array.ndim == 0 and name in dtypes and _holds(dtypes[name], float(array))
        else array
        for name, array in arrays.items()
    }


def _holds(dtype: str, number: float) -> bool:
    return "float" in dtype or (number.is_integer() and "int" in dtype)


def _number(text: str) -> NDArray[Any] | None:
    for kind in (np.int64, np.float64):
        try:
            return np.array(kind(text))
        except (ValueError, OverflowError):
            continue
    return None


def read_lengths(text: str | None) -> list[int] | NDArray[Any] | None:
    """Lengths from ``FILE.npy`` or ``31,7``.

    Raises:
        click.BadParameter: the text is neither.
        InputError: the file cannot be read.
    """
    if text is None:
        return None
    if text.endswith(".npy"):
        return read_array(text)
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is neither FILE.npy nor whole numbers such as 31,7.", param_hint="'--lengths'"
        ) from None


def read_array(file: str) -> NDArray[Any]:
    """The array in a ``.npy`` file. Pickles are refused: they could run anything.

    Raises:
        InputError: the file is not there or holds no array.
    """
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"'{file}' holds several arrays, not one. Save it with numpy.save.")
    return found


def write_arrays(folder: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Write each array to ``folder/NAME.npy``, whole or not at all; the path of each comes back by name.

    Raises:
        UnsafePathError: a name would lead out of the folder.
        OSError: the folder or a file cannot be written.
    """
    for name in arrays:
        # Names come from the bundle, and the bundle from somewhere else.
        if not name or name.startswith(".") or {"/", "\\", ":", "\0"} & {*name}:
            raise UnsafePathError(f"the bundle has an output named {name!r}, so nothing is written.")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    temporary = {name: target / f".{name}.{secrets.token_hex(4)}.npy" for name in arrays}
    try:
        for name, array in arrays.items():
            np.save(temporary[name], array, allow_pickle=False)
        for name, path in temporary.items():
            path.replace(target / f"{name}.npy")
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    return {name: str(target / f"{name}.npy") for name in arrays}


def _read_named(file: str) -> dict[str, NDArray[Any]]:
    try:
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(file, error) from error
    raise InputError(f"'{file}' holds one array without a name. Give it as NAME=FILE.npy.")


def _unreadable(file: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"'{file}' does not exist. Give a file that numpy.save wrote.")
    return InputError(f"'{file}' cannot be read as NumPy arrays without pickles: {error}. Save it with numpy.save.")
