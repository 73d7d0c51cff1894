"""Voices of ``flite``: built from recordings of people (free software of Carnegie Mellon University, BSD-like)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .pronounced import flite_lexicon

if TYPE_CHECKING:
    from pathlib import Path

#: The voices that say any text, each with the pitch of its speaker in hertz. ``kal`` and ``kal16`` are one speaker,
#: from diphones; the others are statistical.
SPEAKERS = {"kal": 105.0, "kal16": 105.0, "awb": 130.0, "rms": 95.0, "slt": 170.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class FliteVoice:
    """One way of speaking.

    Attributes:
        speaker: out of :data:`SPEAKERS`.
        stretch: factor on durations.
        pitch: factor on the pitch.
        clear: whether it says ``-ty`` and ``-teen`` clearly (:mod:`.pronounced`).
    """

    speaker: str = "slt"
    stretch: float = 1.0
    pitch: float = 1.0
    clear: bool = False

    @property
    def program(self) -> str:
        """The program, and its Debian package."""
        return "flite"

    def command(self, text: str, output: Path) -> list[str]:
        """The command that writes ``text`` as a WAV file to ``output``."""
        hertz = SPEAKERS[self.speaker] * self.pitch
        settings = ["--setf", f"duration_stretch={self.stretch}", "--setf", f"int_f0_target_mean={hertz}"]
        if self.clear:
            lexicon = output.with_name("lexicon.txt")
            lexicon.write_text(flite_lexicon())
            settings += ["-add_lex", str(lexicon)]
        return [self.program, "-voice", self.speaker, *settings, "-t", text, "-o", str(output)]
