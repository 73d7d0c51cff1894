"""Texts as tokens: the committed table of pieces, which both languages share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ...runtime.tasks.description import Pieces
from ...runtime.tasks.tokenizers import PieceEncoder
from .texts import REPLACED

TABLE = Path(__file__).with_name("pieces.txt")

#: Ends a target; stands before its first piece; stands for a character that is no piece.
END, BEGIN, UNKNOWN = 0, 1, 2

#: How many of them there are, before the pieces.
SPECIAL = 3


@cache
def symbols(path: Path = TABLE) -> tuple[str, ...]:
    """The text of each token; the special ones have none.

    Raises:
        FileNotFoundError: there is no file at ``path``.
    """
    return (*[""] * SPECIAL, *path.read_text(encoding="utf-8").splitlines())


@cache
def description() -> Pieces:
    """How a text is cut, as a bundle tells it."""
    return Pieces(symbols=symbols(), unknown=UNKNOWN, replace=REPLACED)


@cache
def encoder() -> PieceEncoder:
    """The table at work."""
    return PieceEncoder(description())
