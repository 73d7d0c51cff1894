"""The JapaneseVowels utterances, as committed beside this module (see `DATA.md` for source and licence)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

DATA = Path(__file__).with_name("japanese_vowels.npz")
NUM_FEATURES = 12
NUM_SPEAKERS = 9

SplitName: TypeAlias = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Utterances with the speaker of each.

    Attributes:
        utterances: one float32 array `(time, 12)` each, LPC cepstrum coefficients of 7 to 29 frames;
            a frame spans 25.6 ms and comes 6.4 ms after the one before.
        labels: int64 `(len(utterances),)`, the speaker as 0..8 (the source counts 1..9).
    """

    utterances: tuple[npt.NDArray[np.float32], ...]
    labels: npt.NDArray[np.int64]

    def select(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Split:
        """Return the utterances at `indices` (0-based), in that order."""
        return Split(
            utterances=tuple(self.utterances[i] for i in indices),
            labels=self.labels[np.asarray(indices, dtype=np.int64)],
        )


def load(split: SplitName, path: Path = DATA) -> Split:
    """Read one official split.

    Args:
        split: `train` (270 utterances) or `test` (370 utterances, recorded on other occasions).
        path: an archive written by `rnnx.models.speaker.convert`.

    Raises:
        FileNotFoundError: if there is no file at `path`.
        KeyError: if the archive does not hold that split.
    """
    # No pickles: an archive is data, and opening one must never run code.
    with np.load(path, allow_pickle=False) as archive:
        frames: npt.NDArray[np.float32] = archive[f"{split}_frames"]
        lengths: npt.NDArray[np.int64] = archive[f"{split}_lengths"]
        labels: npt.NDArray[np.int64] = archive[f"{split}_labels"]
    return Split(utterances=tuple(np.split(frames, np.cumsum(lengths)[:-1])), labels=labels)
