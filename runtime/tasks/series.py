"""A table over time to arrays: CSV, ``.npy`` or an array; what is missing is refused or told."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .read_kinds import SeriesRead, Table

#: How a missing value is written, in lower case.
_MISSING = frozenset({"", "na", "nan", "n/a", "null", "none", "?"})
#: How many missing cells a message names.
_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What a series gives to a model, and what a person calls its rows.

    Attributes:
        inputs: arrays by input name, without their batch axis.
        ahead: times of the rows that are the future, where a column tells them.
    """

    inputs: Mapping[str, NDArray[Any]]
    ahead: NDArray[np.float64] | None


def series_arrays(
    source: bytes | NDArray[Any] | Mapping[str, Any],
    read: SeriesRead,
    name: str,
    *,
    by_column: frozenset[str] = frozenset(),
) -> Series:
    """A series as the model takes it.

    Args:
        source: a CSV file's bytes, a ``.npy`` file's, numbers ``(time, columns)``, or numbers ``(time,)`` by column.
            Without names the columns are in the order of :func:`column_names`. One column may lack its axis.
        read: what the model takes.
        name: what to call it in messages.
        by_column: names of inputs for gaps that tell each column's time since its last value.

    Raises:
        InputError: a column lacks, a cell is no number, is missing where none may be, times do not grow, or there are
            too few rows.
    """
    columns = _columns(source, read, name)
    count = len(next(iter(columns.values())))
    past = count - read.horizon
    if past < max(read.least_rows, 1):
        ahead = f" besides the {read.horizon} of the future" if read.horizon else ""
        least = max(read.least_rows, 1)
        raise InputError(f"{name} has {max(past, 0)} rows{ahead}; the model takes at least {least}. Give more rows.")
    times = None if read.time is None else _times(columns[read.time], name, read.time)
    places = {"past": slice(0, past), "future": slice(past, count), "all": slice(0, count), "first": slice(0, 1)}
    inputs: dict[str, NDArray[Any]] = {}
    if read.missing == "refuse":
        _refuse_missing(columns, read, places, name)
    _refuse_empty(columns, read, places, name)
    for table in read.tables:
        place = places[table.rows]
        values = np.stack([columns[one][place] for one in table.columns], axis=1)
        inputs |= _table(table, values, None if times is None else times[place], by_column)
    return Series(inputs=inputs, ahead=None if times is None or not read.horizon else times[past:])


def column_names(read: SeriesRead) -> list[str]:
    """Every column that is read, in order: the time first, then those of each table."""
    time = [] if read.time is None else [read.time]
    return list(dict.fromkeys([*time, *(one for table in read.tables for one in table.columns)]))


def _table(
    table: Table, values: NDArray[np.float64], times: NDArray[np.float64] | None, by_column: frozenset[str]
) -> dict[str, NDArray[Any]]:
    """The inputs of one table: float64 values with every gap filled, and what tells of the gaps."""
    seen = np.isfinite(values)
    filled = np.where(seen, values, 0.0)
    if table.fill == "last":
        # The row of the last value, of each cell; 0 where there was none yet, which is filled with 0 above.
        last = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], 0), axis=0)
        filled = np.take_along_axis(filled, last, axis=0)
    moments = np.arange(len(values), dtype=np.float64) if times is None else times
    found = {table.input: filled}
    if table.mask is not None:
        found[table.mask] = seen
    if table.gaps is not None:
        rows = np.ones((len(values), 1), bool)
        found[table.gaps] = _gaps(seen if table.gaps in by_column else rows, moments)
    return {name: array[0] for name, array in found.items()} if table.rows == "first" else found


def _gaps(seen: NDArray[np.bool_], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Time since each column's last value before this row; since the row before where all is seen: Che et al., 2."""
    gaps = np.zeros(seen.shape)
    for row in range(1, len(seen)):
        passed = times[row] - times[row - 1]
        gaps[row] = passed + np.where(seen[row - 1], 0.0, gaps[row - 1])
    return gaps


def _columns(
    source: bytes | NDArray[Any] | Mapping[str, Any], read: SeriesRead, name: str
) -> dict[str, NDArray[np.float64]]:
    wanted = column_names(read)
    if isinstance(source, Mapping):
        lacking = [one for one in wanted if one not in source]
        if lacking:
            raise InputError(f"{name} lacks the column '{lacking[0]}'; it has {', '.join(map(repr, source))}. Add it.")
        arrays = [np.asarray(source[one]) for one in wanted]
        if len({one.shape for one in arrays}) > 1:
            raise ShapeError(f"the columns of {name} have different shapes: {[one.shape for one in arrays]}.")
        return _of_array(np.stack(arrays, axis=-1), wanted, name)
    if isinstance(source, np.ndarray):
        return _of_array(source, wanted, name)
    if source.startswith(b"\x93NUMPY"):
        try:
            array = np.load(io.BytesIO(source), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise InputError(f"{name} cannot be read as a NumPy array: {error}. Save it with numpy.save.") from None
        return _of_array(array, wanted, name)
    return _of_csv(source, wanted, read, name)


def _of_array(array: NDArray[Any], wanted: Sequence[str], name: str) -> dict[str, NDArray[np.float64]]:
    values = array[:, None] if array.ndim == 1 and len(wanted) == 1 else array
    if values.dtype.kind not in "fiub" or values.ndim != 2 or values.shape[1] != len(wanted):
        raise ShapeError(
            f"{name} is {array.dtype}{list(array.shape)}; it must be numbers of (rows, {len(wanted)}), the columns "
            f"{', '.join(map(repr, wanted))}."
        )
    if np.isinf(values.astype(np.float64)).any():
        raise InputError(f"{name} holds infinity. Leave values out that are not known: NaN.")
    return {column: values[:, number].astype(np.float64) for number, column in enumerate(wanted)}


def _of_csv(source: bytes, wanted: Sequence[str], read: SeriesRead, name: str) -> dict[str, NDArray[np.float64]]:
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no text in UTF-8: {error}. Give a CSV file, or a .npy file.") from None
    try:
        rows = list(csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), delimiter=_delimiter(text)))
    except csv.Error as error:
        raise InputError(f"{name} cannot be read as CSV: {error}.") from None
    # An empty line is none, unless there is one column: then its cell is empty.
    rows = [row or [""] for row in rows if row or (rows and len(rows[0]) == 1)]
    if not any(map(any, rows)):
        raise InputError(f"{name} is empty. Give a table of the columns {', '.join(map(repr, wanted))}.")
    header = [cell.strip() for cell in rows[0]]
    first = 1
    if not set(wanted) & set(header):
        # No header: then its first row is numbers, as all others are.
        if len(header) != len(wanted) or not any(_is_cell(cell) for cell in header):
            raise InputError(
                f"{name} has the columns {', '.join(map(repr, header))}; wanted are {', '.join(map(repr, wanted))}. "
                "Name them in the first row, with ',', ';' or tabs between the cells."
            )
        header, first = list(wanted), 0
    lacking = [one for one in wanted if one not in header]
    twice = [one for one in wanted if header.count(one) > 1]
    if lacking or twice:
        what = f"lacks the column '{lacking[0]}'" if lacking else f"has the column '{twice[0]}' twice"
        remedy = "Add it." if lacking else "Give one of them another name."
        raise InputError(f"{name} {what}; it has {', '.join(map(repr, header))}. {remedy}")
    for number, row in enumerate(rows[first:], 1):
        if len(row) != len(header):
            raise InputError(
                f"row {number} of {name} has {len(row)} cells, the header has {len(header)}. Give each row as many; a "
                "number is written with a point."
            )
    if len(rows) == first:
        raise InputError(f"{name} has a header and no rows. Give a row for each moment.")
    return {
        one: np.array([
            _number(row[header.index(one)], read.categories.get(one), f"column '{one}', row {number} of {name}")
            for number, row in enumerate(rows[first:], 1)
        ])
        for one in wanted
    }  # fmt: skip


def _delimiter(text: str) -> str:
    """What separates the cells: the most frequent of the first row; numbers may have a comma only where it is ``;``."""
    head = text.split("\n", 1)[0]
    return max(",;\t", key=head.count)


def _is_cell(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _MISSING
    return True


def _number(cell: str, words: Mapping[str, float] | None, place: str) -> float:
    text = cell.strip()
    if words is not None and text in words:
        return words[text]
    if text.lower() in _MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        known = "" if words is None else ", or one of " + ", ".join(map(repr, words))
        remedy = "Write it with a point." if "," in text else "Correct it, or leave the cell empty if it is not known."
        raise InputError(f"{place} is {text!r}; it must be a finite number{known}. {remedy}")
    return value


def _times(times: NDArray[np.float64], name: str, column: str) -> NDArray[np.float64]:
    wrong = np.flatnonzero(~np.isfinite(times))
    if wrong.size:
        raise InputError(f"row {wrong[0] + 1} of {name} has no '{column}', so it has no place in time. Fill it in.")
    wrong = np.flatnonzero(np.diff(times) < 0)
    if wrong.size:
        row = wrong[0] + 1
        raise InputError(
            f"'{column}' of {name} goes back from {times[row - 1]:g} in row {row} to {times[row]:g} in row {row + 1}. "
            "Sort the rows by time."
        )
    return times


def _refuse_empty(
    columns: Mapping[str, NDArray[np.float64]], read: SeriesRead, places: Mapping[str, slice], name: str
) -> None:
    """Refuse what a model that bears gaps would answer from nothing: no value at all, or none to fill gaps from."""
    for table in read.tables:
        seen = {one: np.isfinite(columns[one][places[table.rows]]) for one in table.columns}
        if table.rows != "future" and not any(map(np.any, seen.values())):
            raise InputError(
                f"{name} has no value at all in {', '.join(map(repr, table.columns))}, so there is nothing to answer "
                "from. Fill some in."
            )
        lacking = next((one for one in table.needed if not seen[one][0]), None)
        if lacking is not None:
            raise InputError(
                f"{name} has no value in its first row of '{lacking}', from which later gaps would be filled. Begin "
                "with a row that has one."
            )


def _refuse_missing(
    columns: Mapping[str, NDArray[np.float64]], read: SeriesRead, places: Mapping[str, slice], name: str
) -> None:
    found = dict.fromkeys(
        (row + (places[table.rows].start or 0) + 1, column)
        for table in read.tables
        for column in table.columns
        for row in np.flatnonzero(~np.isfinite(columns[column][places[table.rows]])).tolist()
    )
    if found:
        named = ", ".join(f"row {row} of '{column}'" for row, column in sorted(found)[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise InputError(f"{name} has no value in {named}{more}; this model takes no gaps. Fill them first.")
