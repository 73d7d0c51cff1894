"""What a training was like: a record of each step, kept in memory and in `log.jsonl`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from ...atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One step.

    Attributes:
        step: from 1.
        loss: of the step's batch, before the step.
        grad_norm: Euclidean norm of the whole gradient before it was clipped; towards 0 the gradients vanish, far
            above ``clip_norm`` they explode.
        learning_rate: with which the step was made.
        score: of the validation after the step; None where there was none.
    """

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    score: float | None = None


class Log:
    """The records of a training, in order; with a folder also one JSON line each in its ``log.jsonl``."""

    def __init__(self, folder: Path | None, records: Iterable[Record] = ()) -> None:
        """Begin with ``records``; what the folder's file held beyond them, after a cut-off, is gone."""
        self.records = list(records)
        self._file = None
        if folder is not None:
            path = folder / LOG
            write_atomically(path, "".join(map(_line, self.records)).encode())
            self._file = path.open("a", encoding="utf-8")

    def append(self, record: Record) -> None:
        """Add a step."""
        self.records.append(record)
        if self._file is not None:
            # One write of a whole line, handed to the system at once: who reads along sees whole lines.
            self._file.write(_line(record))
            self._file.flush()

    def close(self) -> None:
        """Close the file; the records stay."""
        if self._file is not None:
            self._file.close()


def _line(record: Record) -> str:
    return json.dumps({name: value for name, value in asdict(record).items() if value is not None}) + "\n"


def to_tensor(records: Iterable[Record]) -> torch.Tensor:
    """Float64 ``(steps, 4)``: loss, norm, learning rate, and the score or not-a-number."""
    nan = float("nan")
    rows = [(r.loss, r.grad_norm, r.learning_rate, nan if r.score is None else r.score) for r in records]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def from_tensor(rows: torch.Tensor) -> list[Record]:
    """The records of :func:`to_tensor`."""
    return [
        Record(step=step, loss=loss, grad_norm=norm, learning_rate=rate, score=None if math.isnan(score) else score)
        for step, (loss, norm, rate, score) in enumerate(rows.tolist(), start=1)
    ]
