"""How well lines are read: wrong characters, and lines without a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...runtime import ctc
from ..zoo.edit_distance import edit_distance
from .alphabet import BLANK, decode
from .data import batches_of, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..zoo.system import Runner
    from .data import Line

_ROWS = 64


class Errors(NamedTuple):
    """What went wrong.

    Attributes:
        characters: edits for each character that was to be read.
        lines: share of lines with an edit.
    """

    characters: float
    lines: float


def read(runner: Runner, lines: Sequence[Line]) -> list[str]:
    """What a runner reads, best path, line by line."""
    said = [""] * len(lines)
    for rows in batches_of(lines, _ROWS):
        images, widths = together([lines[row] for row in rows])
        answer = runner.run({"image": images, "widths": widths})
        found = ctc.greedy(answer["log_probs"].astype(np.float32), answer["frames"], blank=BLANK)
        for row, one in zip(rows, found, strict=True):
            said[row] = decode(one.tokens)
    return said


def errors(said: Sequence[str], lines: Sequence[Line]) -> Errors:
    """Compare what was read with what stands there."""
    edits = np.array([edit_distance(one, line.text) for one, line in zip(said, lines, strict=True)])
    return Errors(
        characters=float(edits.sum() / sum(len(line.text) for line in lines)), lines=float(np.mean(edits > 0))
    )
