"""Voices of ``espeak-ng``: formant synthesis, many accents and characters of voice (the program is GPL-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .pronounced import espeak

if TYPE_CHECKING:
    from pathlib import Path

#: Accents of English.
ACCENTS = (
    "en-us",
    "en-gb",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)

#: Characters of voice that might be a person's; robots, whispers and effects are left out.
CHARACTERS = (
    *(
        "Alex",
        "Alicia",
        "Andrea",
        "Andy",
        "Annie",
        "Denis",
        "Diogo",
        "Gene",
        "Gene2",
        "Henrique",
        "Hugo",
        "Jacky",
        "Lee",
    ),
    *("Marco", "Mario", "Michael", "Mike", "Nguyen", "Storm", "Tweaky", "adam", "anika", "antonio", "aunty", "belinda"),
    *(
        "benjamin",
        "boris",
        "caleb",
        "david",
        "ed",
        "edward",
        "edward2",
        "f1",
        "f2",
        "f3",
        "f4",
        "f5",
        "grandma",
        "grandpa",
    ),
    *(
        "gustave",
        "iven",
        "iven2",
        "iven3",
        "iven4",
        "john",
        "kaukovalta",
        "klatt",
        "klatt2",
        "klatt3",
        "klatt4",
        "klatt5",
    ),
    *(
        "klatt6",
        "linda",
        "m1",
        "m2",
        "m3",
        "m4",
        "m5",
        "m6",
        "m7",
        "m8",
        "marcelo",
        "max",
        "michel",
        "miguel",
        "norbert",
        "pablo",
    ),
    *(
        "paul",
        "pedro",
        "quincy",
        "rob",
        "robert",
        "sandro",
        "shelby",
        "steph",
        "steph2",
        "steph3",
        "travis",
        "victor",
        "zac",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EspeakVoice:
    """One way of speaking.

    Attributes:
        accent: out of :data:`ACCENTS`.
        character: out of :data:`CHARACTERS`, or empty for the accent's own.
        pitch: from 0 to 99.
        words_per_minute: how fast.
        clear: whether it says ``-ty`` and ``-teen`` clearly (:mod:`.pronounced`).
    """

    accent: str = "en-us"
    character: str = ""
    pitch: int = 50
    words_per_minute: int = 150
    clear: bool = False

    @property
    def program(self) -> str:
        """The program, and its Debian package."""
        return "espeak-ng"

    def command(self, text: str, output: Path) -> list[str]:
        """The command that writes ``text`` as a WAV file to ``output``."""
        voice = f"{self.accent}+{self.character}" if self.character else self.accent
        settings = ["-v", voice, "-p", str(self.pitch), "-s", str(self.words_per_minute)]
        return [self.program, *settings, "-w", str(output), espeak(text) if self.clear else text]
