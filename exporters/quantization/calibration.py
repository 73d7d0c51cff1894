"""The data on which a loss is measured: the bundle's golden vectors, a file of arrays, or a function of the user's."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..source import load_callable
from .budgets import DRIFT_STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...runtime.session import Session
    from ...signature import Signature


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Batches of inputs.

    Attributes:
        cases: inputs by name, one dict a batch.
        origin: where they come from, for people.
    """

    cases: Sequence[Mapping[str, NDArray[Any]]]
    origin: str

    @property
    def sha256(self) -> str:
        """Of all names, shapes and values."""
        digest = hashlib.sha256()
        for case in self.cases:
            for name in sorted(case):
                array = np.ascontiguousarray(case[name])
                digest.update(f"{name} {array.dtype} {array.shape};".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()


def calibration(bundle: Bundle, data: str | Calibration | None) -> Calibration:
    """The batches to measure on.

    Args:
        bundle: whose golden vectors are taken where no data is given.
        data: a ``.npz`` file with an array for each input, or with ``0/NAME``, ``1/NAME`` ... for several batches; or
            ``file.py:function``, which returns dicts of arrays; or batches that are at hand.

    Raises:
        InputError: the data cannot be read, or holds nothing.
        SourceError: the function cannot be found.
    """
    if data is None:
        return Calibration(cases=[dict(case.inputs) for case in bundle.golden()], origin="the bundle's golden vectors")
    if isinstance(data, Calibration):
        return data
    cases = _from_file(Path(data)) if data.endswith(".npz") else _from_function(data)
    if not cases or not all(cases):
        raise InputError(f"'{data}' holds no arrays. Give an array for each input of the model.")
    return Calibration(cases=cases, origin=data)


def answers(session: Session, given: Calibration) -> list[dict[str, NDArray[Any]]]:
    """The answer of an fp32 session to every batch.

    Raises:
        InputError: a batch does not fit the model; the message says which, and of what data.
    """
    found = []
    for number, case in enumerate(given.cases):
        try:
            found.append(session.run(case))
        except InputError as error:
            raise type(error)(f"batch {number} of {given.origin} does not fit the model: {error}") from error
    return found


def stretched(signature: Signature, given: Calibration, steps: int = DRIFT_STEPS) -> Calibration:
    """The same data as one run of so many steps: repeated along time, or cut, and every row to its end.

    Data without a time axis, or of a model whose time axis has no room for so many, goes as far as it can.
    """
    time = signature.time_axis
    if time is None:
        return given
    allowed = signature.range(time)
    if allowed.maximum is not None:
        steps = min(steps, allowed.maximum)
    steps -= steps % allowed.multiple_of
    measured = {one.name for one in signature.lengths if one.axis == time}
    cases = []
    for case in given.cases:
        stretched_case = {}
        for spec in signature.inputs:
            if spec.name not in case:
                continue
            array = np.asarray(case[spec.name])
            if spec.name in measured:
                array = np.full_like(array, steps)
            elif time in spec.axes:
                axis = spec.axes.index(time)
                array = np.take(array, np.arange(steps) % array.shape[axis], axis)
            stretched_case[spec.name] = array
        cases.append(stretched_case)
    return Calibration(cases=cases, origin=f"{given.origin}, {steps} steps")


def _from_file(path: Path) -> list[dict[str, NDArray[Any]]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            named = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise InputError(f"the calibration data '{path}' does not exist. Give a file that numpy.savez wrote.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(
            f"'{path}' cannot be read as arrays without pickles: {error}. Save it with numpy.savez."
        ) from error
    if not all("/" in name for name in named):
        return [named]
    numbers = sorted({name.partition("/")[0] for name in named}, key=lambda text: (len(text), text))
    return [
        {name.partition("/")[2]: array for name, array in named.items() if name.partition("/")[0] == number}
        for number in numbers
    ]


def _from_function(data: str) -> list[dict[str, NDArray[Any]]]:
    function, _ = load_callable(data)
    try:
        return [{name: np.asarray(array) for name, array in case.items()} for case in function()]
    except Exception as error:
        raise InputError(
            f"the calibration data '{data}' failed: {type(error).__name__}: {error}. "
            "It is called without arguments and must return dicts of arrays by input name."
        ) from error
