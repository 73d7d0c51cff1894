"""The held-out texts that are committed, as a file (see `DATA.md` for source and licences)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .texts import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

HELD_OUT = Path(__file__).with_name("held_out.npz")


def pack(asked: Sequence[Asked]) -> bytes:
    """Texts as the file that is committed: the same texts give the same bytes where zlib compresses alike."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        kind=np.array([text.kind for text in asked]),
        english=np.array([text.english for text in asked]),
        text=np.array([row for row, text in enumerate(asked) for _ in text.french], dtype=np.int32),
        french=np.array([french for text in asked for french in text.french]),
    )
    return content.getvalue()


def load(path: Path = HELD_OUT) -> list[Asked]:
    """Read the texts that are committed, each with all its translations.

    Raises:
        FileNotFoundError: there is no file at ``path``.
    """
    with np.load(path, allow_pickle=False) as archive:
        french: list[list[str]] = [[] for _ in archive["english"]]
        for row, one in zip(archive["text"], archive["french"], strict=True):
            french[row].append(str(one))
        return [
            Asked(kind="name" if kind == "name" else "office", english=str(english), french=tuple(allowed))
            for kind, english, allowed in zip(archive["kind"], archive["english"], french, strict=True)
        ]
