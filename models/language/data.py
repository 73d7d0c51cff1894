"""Which chapters the model learns from, is chosen by, and is judged by."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...atomic import write_atomically
from ..datasets import moby_dick
from .characters import SYMBOLS, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HELD_OUT = Path(__file__).with_name("held_out.npz")

#: Chapters 1 to 115 are learned from; by 116 to 121 the best weights are chosen; 122 to 135, the last tenth of the
#: book, are held out. Whole chapters in the order of the book: no sentence stands on both sides, and what is held out
#: is a part of the story that the model knows nothing of.
TRAINING = slice(0, 115)
VALIDATION = slice(115, 121)
HELD_OUT_CHAPTERS = slice(121, 135)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """The end of the book, to be predicted.

    Attributes:
        tokens: int64 ``(characters,)``, chapters 122 to 135.
        seen: int64 ``(symbols,)``, how often each symbol stands in the chapters that were learned from: what a
            prediction without any memory would go by.
    """

    tokens: NDArray[np.int64]
    seen: NDArray[np.int64]


def count(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each symbol stands in a text: int64 ``(symbols,)``."""
    return np.bincount(tokens, minlength=len(SYMBOLS)).astype(np.int64)


def to_arrays(chapters: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """What ``held_out.npz`` holds, from all chapters: ``text`` uint8, UTF-8, and ``seen`` as of :class:`HeldOut`."""
    text = "".join(chapters[HELD_OUT_CHAPTERS]).encode()
    return {
        "text": np.frombuffer(text, dtype=np.uint8),
        "seen": count(encode("".join(chapters[TRAINING]))),
    }


def write_held_out(folder: Path | None, path: Path = HELD_OUT) -> None:
    """Make the committed file again; the same book gives the same bytes where zlib compresses alike.

    Args:
        folder: holds the unpacked package; None where it is installed.
        path: the file to write.

    Raises:
        MissingDataError: the package is not there.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **to_arrays(moby_dick.load(folder)))  # type: ignore[arg-type]  # no allow_pickle
    write_atomically(path, content.getvalue())


def load_held_out(path: Path = HELD_OUT) -> HeldOut:
    """Read the committed part of the book.

    Raises:
        FileNotFoundError: there is no file at ``path``.
    """
    with np.load(path, allow_pickle=False) as archive:
        return HeldOut(tokens=encode(archive["text"].tobytes().decode()), seen=archive["seen"])
