"""The state of streams as a value: arrays by name, ``(batch, ...)`` each, that belong to one bundle's variant."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle import npz_bytes
from ..errors import StateError
from ..manifest import BEGUN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Version of the form of :meth:`State.to_bytes`.
FORMAT = 2
#: Forms that are read: the first had no frames that wait.
_READ = (1, FORMAT)
_HEADER = "header"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class State:
    """What streams carry from one chunk to the next. A step gives a new one and leaves this as it is.

    Attributes:
        owner: SHA-256 of the bundle and key of the variant that it belongs to, without its form
            (:func:`rnnx.runtime.forms.state_owner`).
        values: arrays by state name, ``(batch, ...)``.
        pending: by input name, frames that wait for enough company to be run, ``(batch, frames, ...)``; and inputs that
            have no frames, ``(batch, ...)``, as they were given last. Empty for models that take any number of frames.
        waiting: how many frames wait.
    """

    owner: str
    values: Mapping[str, NDArray[Any]]
    pending: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    waiting: int = 0

    @property
    def batch(self) -> int:
        """How many streams it is of."""
        return int(next(iter(self.values.values())).shape[0])

    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in (*self.values.values(), *self.pending.values()))

    def replaced(self, rows: Sequence[int] | NDArray[Any], other: State) -> State:
        """This state with some of its streams taken from another, row by row (``other`` has a row for each).

        Streams of a model that lets frames wait, or that looks ahead, go on together: their rows must have begun
        alike and have as many frames waiting, unless all of them are replaced.

        Raises:
            StateError: the other belongs to another bundle, its rows do not fit, or it is at another point of a stream.
        """
        self.check_owner(other.owner)
        chosen = np.asarray(rows, dtype=np.int64).reshape(-1)
        if other.batch not in {1, len(chosen)} or (chosen.size and not 0 <= chosen.min() <= chosen.max() < self.batch):
            raise StateError(
                f"rows {chosen.tolist()} of a state of {self.batch} streams cannot be replaced by a state of "
                f"{other.batch}. Give rows from 0 to {self.batch - 1}, and one row or as many as are replaced."
            )
        whole = len(set(chosen.tolist())) == self.batch
        if not whole and self.phase() != other.phase():
            raise StateError(
                f"rows {chosen.tolist()} cannot be replaced alone: this model's streams go on together, and here "
                f"{self.told()}, in the other state {other.told()}. Replace all {self.batch} rows, or give each "
                "client a stream of its own."
            )
        values = {name: array.copy() for name, array in self.values.items()}
        for name, array in values.items():
            array[chosen] = other.values[name]
        pending = dict(self.pending)
        for name, array in other.pending.items():
            base = self.pending.get(name)
            fits = base is not None and base.shape[1:] == array.shape[1:]
            pending[name] = (
                base.copy() if base is not None and fits else np.empty((self.batch, *array.shape[1:]), array.dtype)
            )
            pending[name][chosen] = array
        if whole:
            pending = {name: pending[name] for name in other.pending}
        return State(owner=self.owner, values=values, pending=pending, waiting=other.waiting)

    @classmethod
    def stacked(cls, states: Sequence[State]) -> State:
        """Several states as one of all their streams, in order: :meth:`split` takes it apart again.

        Args:
            states: one or more, at the same point of their streams (:meth:`phase`).

        Raises:
            StateError: there are none, they belong to different variants, or they are at different points.
        """
        if not states:
            raise StateError("no states are given. Stack at least one.")
        first = states[0]
        if len(states) == 1:
            return first
        for state in states:
            if state.owner != first.owner:
                state.check_owner(first.owner)
            if state.waiting != first.waiting or state.pending.keys() != first.pending.keys():
                raise StateError(
                    f"states cannot be stacked: in one {first.told()}, in another {state.told()}. "
                    "Streams that run together must be at the same point."
                )
        try:
            values = {name: np.concatenate([one.values[name] for one in states]) for name in first.values}
            pending = {name: np.concatenate([one.pending[name] for one in states]) for name in first.pending}
        except (KeyError, ValueError) as error:
            raise StateError(f"states cannot be stacked, their arrays do not fit: {error}.") from error
        return cls(owner=first.owner, values=values, pending=pending, waiting=first.waiting)

    def split(self, counts: Sequence[int]) -> list[State]:
        """This state as several, the first of ``counts[0]`` streams and so on.

        Their arrays are copies, so that none of them keeps the whole alive.

        Raises:
            StateError: the counts are not of all its streams.
        """
        if min(counts, default=0) < 1 or sum(counts) != self.batch:
            raise StateError(f"a state of {self.batch} streams cannot be split into {list(counts)} streams.")
        states, begin = [], 0
        for count in counts:
            end = begin + count
            states.append(
                State(
                    owner=self.owner,
                    values={name: array[begin:end].copy() for name, array in self.values.items()},
                    pending={name: array[begin:end].copy() for name, array in self.pending.items()},
                    waiting=self.waiting,
                )
            )
            begin = end
        return states

    def phase(self) -> tuple[tuple[int, ...], int]:
        """Where its streams stand: whether they have begun (distinct flags), and how many frames wait."""
        return tuple(sorted(set(self.values[BEGUN].tolist()))) if BEGUN in self.values else (), self.waiting

    def told(self) -> str:
        """Where its streams stand, for people."""
        begun = "have begun" if 1 in self.phase()[0] else "have not begun"
        return f"{self.waiting} frames wait" + f" and they {begun}" * (BEGUN in self.values)

    def check_owner(self, owner: str) -> None:
        """Find out whether this state belongs to a variant.

        Raises:
            StateError: it belongs to another one.
        """
        if self.owner != owner:
            raise StateError(
                f"the state belongs to '{self.owner[-30:]}' and not to '{owner[-30:]}', another bundle or variant. "
                "Begin with session.initial_state()."
            )

    def to_bytes(self) -> bytes:
        """The state in a form that :meth:`from_bytes` reads, without pickles."""
        header = json.dumps(
            {
                "format": FORMAT,
                "owner": self.owner,
                "names": list(self.values),
                "pending": list(self.pending),
                "waiting": self.waiting,
            }
        )
        arrays = {f"state{number}": array for number, array in enumerate(self.values.values())}
        arrays |= {f"pending{number}": array for number, array in enumerate(self.pending.values())}
        return npz_bytes({_HEADER: np.frombuffer(header.encode(), np.uint8), **arrays})

    @classmethod
    def from_bytes(cls, raw: bytes) -> State:
        """The state that :meth:`to_bytes` wrote. Whose it is, is checked where it is used.

        Raises:
            StateError: these are not such bytes, or of a newer form.
        """
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
                header = json.loads(stored[_HEADER].tobytes())
                values = {str(name): stored[f"state{number}"] for number, name in enumerate(header["names"])}
                form, owner = int(header["format"]), str(header["owner"])
                pending = {
                    str(name): stored[f"pending{number}"] for number, name in enumerate(header.get("pending", ()))
                }
                waiting = int(header.get("waiting", 0))
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise StateError(f"these bytes are no state: {error}. Pass what State.to_bytes() gave.") from error
        if form not in _READ:
            raise StateError(f"the state has form {form}; this rnnx reads form {FORMAT}. Use the rnnx that wrote it.")
        return cls(owner=owner, values=values, pending=pending, waiting=waiting)
