"""The voice of the Python package ``hibari-tts``: neural, small, Apache-2.0; so is Kokoro, which it learned from."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .spoken import installed, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RELEASE = "0.2.1"
_RATE = 24000

# Run in a process of its own, as any program that speaks: what it imports is no part of this one. "T" is the package's
# letter for an American flap.
_SCRIPT = """
import json, sys
import numpy as np
from hibari import Hibari, dsp
settings = json.load(sys.stdin)
voice = Hibari()
generator = np.random.default_rng((27, settings["seed"]))
for number, text in enumerate(settings["texts"]):
    phones = " ".join(voice.phonemize(text))
    ids = voice.ids(phones.replace("T", "t") if settings["clear"] else phones)
    inputs = {"ids": np.array([ids], np.int64), "speed": np.array([settings["speed"]], np.float32)}
    *spectra, hertz = (output[0] for output in voice.sess.run(None, inputs))
    samples = dsp.synth(*spectra, hertz * np.float32(settings["pitch"]), generator)
    np.save(f"{sys.argv[1]}/{number}.npy", samples.astype(np.float64))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HibariVoice:
    """One way of speaking.

    Attributes:
        speed: factor on the tempo, from 0.5 to 2.
        pitch: factor on the pitch.
        seed: of the noise in it.
        clear: whether it says ``-ty`` clearly; ``-teen`` it always does (:mod:`.pronounced`).
    """

    speed: float = 1.0
    pitch: float = 1.0
    seed: int = 0
    clear: bool = False

    @property
    def program(self) -> str:
        """The Python package."""
        return "hibari-tts"

    def version(self) -> str:
        """Which release of the package.

        Raises:
            MissingDataError: it is not installed.
        """
        return installed(self.program, _RELEASE)

    def speak(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float64], int]]:
        """Say all texts.

        Raises:
            MissingDataError: the package is not installed.
            SpeechProgramError: it failed.
        """
        self.version()
        settings = {**asdict(self), "texts": list(texts)}
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder, f"{number}.npy") for number in range(len(texts))]
            run([sys.executable, "-c", _SCRIPT, folder], outputs, json.dumps(settings))
            return [(np.load(output, allow_pickle=False), _RATE) for output in outputs]
