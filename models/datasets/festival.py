"""Voices of ``festival``: diphones that were cut from recordings of people.

They are free software of the University of Edinburgh and of Carnegie Mellon University, BSD-like, as the program is.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import MissingDataError
from .pronounced import festival_lexicon
from .spoken import read_wav, run, version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: The voices, each with the Debian package that has it.
SPEAKERS = {"ked_diphone": "festvox-kdlpc16k", "kal_diphone": "festvox-kallpc16k"}
_FOLDERS = "/usr/share/festival/voices/english"

# Duration sets where each segment ends; here each becomes longer or shorter by a factor of its own.
_SCRIPT = """
(define (loosened utt factors)
  (let ((end 0) (old 0) (left factors))
    (mapcar
      (lambda (segment)
        (let ((was (item.feat segment "end")))
          (set! end (+ end (* (- was old) (car left))))
          (set! old was)
          (set! left (cdr left))
          (item.set_feat segment "end" end)))
      (utt.relation.items utt 'Segment))))
(define (say text output factors)
  (let ((utt (eval (list 'Utterance 'Text text))))
    (mapcar (lambda (module) (module utt))
      (list Initialize Text Token_POS Token POS Phrasify Word Pauses Intonation PostLex Duration))
    (loosened utt factors)
    (Int_Targets utt) (Wave_Synth utt)
    (utt.save.wave utt output 'riff)))
"""
#: What the voices' own melodies were made for.
_MODEL = "(model_f0_mean 170) (model_f0_std 34)"
#: Segments that a text may have.
_MOST = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class FestivalVoice:
    """One way of speaking.

    Attributes:
        speaker: out of :data:`SPEAKERS`.
        stretch: factor on durations.
        hertz: mean pitch.
        melody: standard deviation of the pitch, in hertz.
        jitter: standard deviation of the logarithm of a further factor on the duration of each phone.
        seed: of those factors.
        clear: whether it says ``-ty`` and ``-teen`` clearly (:mod:`.pronounced`).
    """

    speaker: str = "ked_diphone"
    stretch: float = 1.0
    hertz: float = 105.0
    melody: float = 15.0
    jitter: float = 0.0
    seed: int = 0
    clear: bool = False

    @property
    def program(self) -> str:
        """The program, and its Debian package."""
        return "festival"

    def version(self) -> str:
        """Which release of the program."""
        return version(self.program)

    def speak(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float64], int]]:
        """Say all texts in one run of the program.

        Raises:
            MissingDataError: the program or the voice is not installed.
            SpeechProgramError: it failed.
        """
        version(self.program)  # the program's own name comes before its voice's
        if not Path(_FOLDERS, self.speaker).is_dir():
            raise MissingDataError(
                f"festival has no voice '{self.speaker}'; it speaks the training data. "
                f"Run: apt-get install {SPEAKERS[self.speaker]}"
            )
        generator = np.random.default_rng((26, self.seed))
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder, f"{number}.wav") for number in range(len(texts))]
            lines = [
                f"(voice_{self.speaker})",
                festival_lexicon() if self.clear else "",
                f"(Parameter.set 'Duration_Stretch {self.stretch})",
                f"(set! int_lr_params '((target_f0_mean {self.hertz}) (target_f0_std {self.melody}) {_MODEL}))",
                _SCRIPT,
            ]
            for text, output in zip(texts, outputs, strict=True):
                factors = np.exp(generator.normal(0.0, self.jitter, _MOST)) if self.jitter else np.ones(_MOST)
                listed = " ".join(f"{factor:.3f}" for factor in factors)
                lines.append(f"(say {json.dumps(text)} {json.dumps(str(output))} '({listed}))")
            script = Path(folder, "say.scm")
            script.write_text("\n".join(lines))
            run([self.program, "-b", str(script)], outputs)
            return [read_wav(output.read_bytes()) for output in outputs]
