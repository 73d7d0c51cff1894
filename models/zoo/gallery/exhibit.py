"""What a system shows in the gallery: pictures, sounds and texts, each made by its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A PNG.

    Attributes:
        png: the file's bytes.
        about: what there is to see, also for those who cannot.
    """

    png: bytes
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """A WAV file.

    Attributes:
        wav: the file's bytes.
        about: what there is to hear.
    """

    wav: bytes
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """What was given and what came of it.

    Attributes:
        given: the input, may be empty.
        answer: the output, shown as it is, line by line.
        about: what to look at, may be empty.
    """

    given: str
    answer: str
    about: str = ""


Piece: TypeAlias = Picture | Sound | Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhibit:
    """What one system shows.

    Attributes:
        about: one or two sentences on what is shown, and on what it was made from.
        pieces: in order.
    """

    about: str
    pieces: tuple[Piece, ...]
