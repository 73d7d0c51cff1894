"""A bundle as a worker of Ray Data: ``dataset.map_batches(BundlePredictor, ...)``.

Each row of the data set is one sequence, of any length. Rows share runs by the rules of the engine, padded with their
lengths or not at all, and each gets the answer that it gets alone::

    dataset.map_batches(
        BundlePredictor,
        fn_constructor_kwargs={"bundle": "asr.rnnx"},
        compute=ray.data.ActorPoolStrategy(size=2),
        batch_size=256,
        batch_format="pyarrow",
    )

With ``batch_format="pyarrow"`` answers come as plain nested lists, which any reader of Parquet knows; with Ray's
default they come as arrays, which Ray keeps in a tensor type of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import InputError
from ....signature import BATCH
from ...engine.engine import Engine
from ...session import load
from .rows import rows_of_arrow, rows_of_numpy, to_arrow, to_numpy

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from ....signature import Signature

    Rows = list[NDArray[Any]]


class BundlePredictor:
    """One process that answers batches of a data set. Ray makes it, once for each process, and calls it."""

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        columns: Mapping[str, str] | None = None,
        outputs: Sequence[str] | None = None,
        prefix: str = "",
        drop: Sequence[str] = (),
        provider: str = "auto",
        precision: str = "auto",
        threads: int | None = 1,
        max_batch: int = 64,
        padding: float = 2.0,
    ) -> None:
        """Load the bundle.

        Args:
            bundle: its folder, which every machine must see.
            columns: column by input name; an input that is not named is taken from the column of its own name. Where
                lengths have a column, each row is cut to its length; without one, each row is as long as it is.
            outputs: names of the outputs that are wanted; all by default.
            prefix: is put before an output's name to name its column.
            drop: columns that are not kept.
            provider: as for :func:`rnnx.load`.
            precision: as for :func:`rnnx.load`.
            threads: threads within one operator; None for one for each core.
            max_batch: most rows of one run.
            padding: to how many times its own size no row is padded.

        Raises:
            BundleError, VariantError, ProviderError, SessionError: as for :func:`rnnx.load`.
            InputError: a column is named for an input that there is not, or an input has no batch axis.
        """
        self._session = load(bundle, provider=provider, precision=precision, threads=threads)
        try:
            self._prepare(columns or {}, outputs)
            self._engine = Engine(self._session, max_batch=max_batch, max_queue=4 * max_batch, padding=padding)
        except BaseException:
            self._session.close()
            raise
        self._prefix = prefix
        self._drop = set(drop)

    def _prepare(self, columns: Mapping[str, str], outputs: Sequence[str] | None) -> None:
        """Find out which input comes from which column."""
        signature = self._session.signature
        self._outputs = [spec.name for spec in signature.outputs] if outputs is None else list(outputs)
        wrong = [name for name in self._outputs if name not in {spec.name for spec in signature.outputs}]
        if wrong or not self._outputs:
            allowed = ", ".join(f"'{spec.name}'" for spec in signature.outputs)
            what = f"output '{wrong[0]}' is not known" if wrong else "no outputs are asked for"
            raise InputError(f"{what}; the model has {allowed}.")
        self._columns = _columns(signature, columns)
        self._batch = {name: _batch_axis(signature, name) for name in self._columns}
        self._spec = {name: signature.input(name) for name in self._columns}
        self._cuts = {one.name: one.axis for one in signature.lengths if one.name in columns}
        self._optional = signature.state_names
        self._results = {
            spec.name: next((at for at, axis in enumerate(spec.axes) if axis in _batch_names(signature)), None)
            for spec in signature.outputs
        }

    def __call__(self, batch: pa.Table | Mapping[str, NDArray[Any]]) -> pa.Table | dict[str, NDArray[Any]]:
        """The batch with a column for each output; rows and other columns stay as they are.

        Args:
            batch: a table of Arrow's, or arrays by column name.

        Raises:
            InputError: a column is missing, or an output's column is there already.
            RnnxError: of the first row that is wrong.
        """
        if isinstance(batch, Mapping):
            count = len(next(iter(batch.values()))) if batch else 0
            given: dict[str, Rows] = {
                name: rows_of_numpy(batch[column], self._spec[name], self._batch[name])
                for name, column in self._found(list(batch)).items()
            }
            answers = self._answers(given, count)
            kept = {name: value for name, value in batch.items() if name not in self._drop}
            return {**kept, **({name: to_numpy(rows) for name, rows in answers.items()} if count else {})}
        given = {
            name: rows_of_arrow(batch[column], self._spec[name], self._batch[name])
            for name, column in self._found(batch.column_names).items()
        }
        answers = self._answers(given, batch.num_rows)
        table = batch.drop_columns([name for name in batch.column_names if name in self._drop])
        if batch.num_rows:
            for name, rows in answers.items():
                table = table.append_column(name, to_arrow(rows))
        return table

    def close(self) -> None:
        """End the engine and free the session."""
        self._engine.close()
        self._session.close()

    def _found(self, there: Sequence[str]) -> dict[str, str]:
        """Column by input name, of those that are there."""
        found = {}
        for name, column in self._columns.items():
            if column in there:
                found[name] = column
            elif name in self._cuts or name not in self._optional | self._lengths():
                listed = ", ".join(f"'{one}'" for one in there) or "none"
                raise InputError(
                    f"input '{name}' is to come from column '{column}', which is not there; there are {listed}. Name "
                    "its column: columns={'" + name + "': ...}, on the command line --column."
                )
        for output in self._outputs:
            column = self._prefix + output
            if column in set(there) - self._drop:
                raise InputError(
                    f"output '{output}' would be written to column '{column}', which is there already. Give a prefix, "
                    "or drop that column."
                )
        return found

    def _answers(self, given: Mapping[str, Rows], count: int) -> dict[str, Rows]:
        """Rows of each output by column name, in the order of the rows given."""
        answers: dict[str, Rows] = {self._prefix + name: [] for name in self._outputs}
        for outputs in self._engine.map(self._items(given, count), window=max(count, 1)):
            for name in self._outputs:
                at = self._results[name]
                answers[self._prefix + name].append(outputs[name] if at is None else np.take(outputs[name], 0, at))
        return answers

    def _items(self, given: Mapping[str, Rows], count: int) -> Iterator[dict[str, NDArray[Any]]]:
        """A request for each row."""
        lengths = self._lengths()
        for number in range(count):
            sizes = {self._cuts[name]: int(given[name][number]) for name in self._cuts}
            item = {}
            for name, rows in given.items():
                if name not in lengths:
                    item[name] = np.expand_dims(self._cut(name, rows[number], sizes, number), self._batch[name])
            yield item

    def _cut(self, name: str, row: NDArray[Any], sizes: Mapping[str, int], number: int) -> NDArray[Any]:
        axes = [axis for position, axis in enumerate(self._spec[name].axes) if position != self._batch[name]]
        for position, axis in enumerate(axes):
            size = sizes.get(str(axis), row.shape[position])
            if not 0 <= size <= row.shape[position]:
                raise InputError(
                    f"row {number} of the batch has length {size}, and {row.shape[position]} steps of input '{name}'."
                )
            row = np.take(row, range(size), position) if size < row.shape[position] else row
        return row

    def _lengths(self) -> set[str]:
        return {one.name for one in self._session.signature.lengths}


def _columns(signature: Signature, named: Mapping[str, str]) -> dict[str, str]:
    """Column by name, of every input that may have one."""
    inputs = [spec.name for spec in signature.inputs]
    wrong = [name for name in named if name not in inputs]
    if wrong:
        raise InputError(f"input '{wrong[0]}' is not known; the model takes {', '.join(map(repr, inputs))}.")
    silent = {one.name for one in signature.lengths} - named.keys()
    return {name: named.get(name, name) for name in inputs if name not in silent}


def _batch_names(signature: Signature) -> set[str | int]:
    """Names of the axis of rows, as lists of arrays take it too (:mod:`rnnx.runtime.ragged`)."""
    return {signature.input(one.name).axes[0] for one in signature.lengths} or {BATCH}


def _batch_axis(signature: Signature, name: str) -> int:
    spec = signature.input(name)
    names = _batch_names(signature)
    found = next((at for at, axis in enumerate(spec.axes) if axis in names), None)
    if found is None:
        raise InputError(f"input '{name}' has no axis of rows, so it cannot come from a column: {spec}.")
    return found
