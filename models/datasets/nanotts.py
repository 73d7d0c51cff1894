"""Voices of SVOX Pico, in the Python package ``py-nanotts``: built from recordings of people (Apache-2.0)."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .spoken import installed, read_wav, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

#: The voices that speak English, a woman each.
SPEAKERS = ("en-US", "en-GB")
_RELEASE = "0.1.1"
#: As loud as it is said without clipping.
_VOLUME = "0.4"


@dataclass(frozen=True, kw_only=True, slots=True)
class NanoVoice:
    """One way of speaking.

    Attributes:
        speaker: out of :data:`SPEAKERS`.
        speed: factor on the tempo, from 0.2 to 5.
        pitch: factor on the pitch, from 0.5 to 2.
    """

    speaker: str = "en-US"
    speed: float = 1.0
    pitch: float = 1.0

    @property
    def program(self) -> str:
        """The Python package."""
        return "py-nanotts"

    def version(self) -> str:
        """Which release of the package.

        Raises:
            MissingDataError: it is not installed.
        """
        return installed(self.program, _RELEASE)

    def speak(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float64], int]]:
        """Say all texts, each in a process of its own: what the library says depends on what it said before.

        Raises:
            MissingDataError: the package is not installed.
            SpeechProgramError: it failed.
        """
        self.version()
        settings = ["-v", self.speaker, "--speed", str(self.speed), "--pitch", str(self.pitch), "--volume", _VOLUME]
        sounds = []
        with tempfile.TemporaryDirectory() as folder:
            for number, text in enumerate(texts):
                output = Path(folder, f"{number}.wav")
                run([sys.executable, "-m", "py_nanotts", text, "-o", str(output), *settings], [output])
                sounds.append(read_wav(output.read_bytes()))
        return sounds
