"""What the exporter is told of both models, and what they are given beside a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..zoo.system import Face
from .symbols import LETTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The longest word that is taken; the longest of the dictionary has 34 letters.
MOST_LETTERS = 40

#: What a search is given unless the user says otherwise.
OPTIONS: Mapping[str, float] = {"max_length": 32, "beam_width": 4, "length_penalty": 0.6}

FACE = Face(
    inputs=(
        f"source: int64[batch, source] < {len(LETTERS)}",
        "lengths: int64[batch]",
        "max_length: int64[] >= 1, < 64",
        "beam_width: int64[] >= 1, < 9",
        "length_penalty: float32[]",
    ),
    outputs=("tokens", "lengths_out", "scores"),
    lengths=("lengths:source",),
    streaming="off",
)
