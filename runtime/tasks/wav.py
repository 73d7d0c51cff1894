"""WAV files: read whole, and written whole or not at all.

The standard library's ``wave`` reads whole-number PCM only; speech also comes as 32-bit float, and from telephones as
mu-law and A-law (ITU-T G.711). The form: IBM and Microsoft, "Multimedia programming interface and data specifications
1.0", 1991, and "Multiple channel audio data and WAVE files", 2001 (``WAVE_FORMAT_EXTENSIBLE``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...atomic import write_atomically
from ...errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_BITS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64), _A_LAW: (8,), _MU_LAW: (8,)}
#: The sample rates that are taken, in hertz; a broken file may say any, and another rate costs time and memory.
LEAST_RATE, MOST_RATE = 100, 768_000
#: Floats may go beyond 1; what goes so far beyond, 24 dB, was scaled otherwise.
LOUDEST = 16.0
_KNOWN = "PCM of 8, 16, 24 or 32 bits, float of 32 or 64 bits, mu-law and A-law"
#: The rest of an extensible form's identity, after the two bytes of the plain form.
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    tag: int
    channels: int
    sample_rate: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8


def read_wav(content: bytes, name: str = "the sound") -> tuple[NDArray[np.float32], int]:
    """The samples of a WAV file.

    Args:
        content: the whole file.
        name: what to call it in messages.

    Returns:
        float32 ``(samples, channels)``, from -1 to 1 (floats may go beyond), and the sample rate in hertz.

    Raises:
        InputError: it is no WAV file, of a form that is not known, cut off, or without samples.
    """
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise InputError(f"{name} is no WAV file{_guess(content)}. Give a WAV file: {_KNOWN}.")
    form: _Form | None = None
    place = 12
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        body = content[place + 8 : place + 8 + size]
        if kind == b"fmt ":
            form = _form(body, name)
        elif kind == b"data":
            if form is None:
                raise InputError(f"{name} is broken: its samples come before its format.")
            return _samples(body, form, size, name), form.sample_rate
        place += 8 + size + size % 2  # a chunk of odd size has one byte behind it
    what = "format" if form is None else "samples"
    raise InputError(f"{name} is cut off or broken: it has no {what}. Copy it again.")


def wav_bytes(samples: NDArray[Any], sample_rate: int) -> bytes:
    """A WAV file of 16-bit PCM.

    Args:
        samples: float ``(samples,)`` or ``(samples, channels)``; what is beyond -1 to 1 is cut off.
        sample_rate: in hertz.

    Raises:
        InputError: a sample is no finite number, or the array has another number of axes.
    """
    array = np.asarray(samples, np.float64)
    if array.ndim not in {1, 2}:
        raise InputError(f"samples have shape {array.shape}; it must be (samples,) or (samples, channels).")
    if not np.isfinite(array).all():
        raise InputError("the samples hold NaN or infinity, so no sound is written.")
    channels = 1 if array.ndim == 1 else array.shape[1]
    # 32768 is one too many for the highest, so it is cut off: reading gives back what was written, to half a step.
    data = np.clip(np.rint(array * 32768), -32768, 32767).astype("<i2").tobytes()
    head = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, _PCM, channels, sample_rate, sample_rate * channels * 2, channels * 2, 16
    )
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def write_wav(path: Path, samples: NDArray[Any], sample_rate: int) -> None:
    """Write :func:`wav_bytes` to a file, which is whole or as it was before.

    Raises:
        InputError: as :func:`wav_bytes`.
        OSError: the file cannot be written.
    """
    write_atomically(path, wav_bytes(samples, sample_rate))


def check_rate(sample_rate: int, name: str) -> None:
    """Refuse a sample rate that no sound has.

    Raises:
        InputError: it is below or above what is allowed.
    """
    if not LEAST_RATE <= sample_rate <= MOST_RATE:
        raise InputError(
            f"{name} has the sample rate {sample_rate} Hz; allowed are {LEAST_RATE} to {MOST_RATE} Hz. If that is not "
            "its rate, the file is broken: write it again."
        )


def check_loudness(samples: NDArray[Any], name: str) -> None:
    """Refuse samples that are no sound from -1 to 1.

    Raises:
        InputError: they hold NaN or infinity, or go far beyond 1.
    """
    if not np.isfinite(samples).all():
        raise InputError(f"{name} holds NaN or infinity, which is no sound. Write it again without.")
    loudest = float(np.abs(samples).max(initial=0.0))
    if loudest > LOUDEST:
        raise InputError(
            f"{name} goes up to {loudest:.6g}; sound is from -1 to 1. Divide it by its largest value: by 32768 if it "
            "was made from 16 bits."
        )


def _form(body: bytes, name: str) -> _Form:
    if len(body) < 16:
        raise InputError(f"{name} is cut off or broken: its format has {len(body)} bytes of 16. Copy it again.")
    tag, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE:
        if len(body) < 40 or body[26:40] != _GUID_TAIL:
            raise InputError(f"{name} has an extended format that is not known. Convert it to one of: {_KNOWN}.")
        tag = int.from_bytes(body[24:26], "little")
    if bits not in _BITS.get(tag, ()):
        raise InputError(f"{name} is a WAV file of format {tag} with {bits} bits. Convert it to one of: {_KNOWN}.")
    if not channels:
        raise InputError(f"{name} is broken: it says that it has 0 channels. Copy it again.")
    check_rate(sample_rate, name)
    return _Form(tag=tag, channels=channels, sample_rate=sample_rate, bits=bits)


def _samples(body: bytes, form: _Form, size: int, name: str) -> NDArray[np.float32]:
    if len(body) < size and size not in {0xFFFFFFFF, 0x7FFFFFFF}:  # a writer into a pipe does not know the size
        raise InputError(f"{name} is cut off: {len(body)} of {size} bytes of sound are there. Copy it again.")
    frames = len(body) // form.frame_bytes
    if not frames:
        raise InputError(f"{name} holds no samples. Record it again.")
    raw = np.frombuffer(body, np.uint8, frames * form.frame_bytes)
    values = _decoded(raw, form)
    check_loudness(values, name)
    return values.astype(np.float32).reshape(frames, form.channels)


def _decoded(raw: NDArray[np.uint8], form: _Form) -> NDArray[Any]:
    """Samples from -1 to 1, still in the order of the file."""
    if form.tag == _MU_LAW:
        return _MU_TABLE[raw]
    if form.tag == _A_LAW:
        return _A_TABLE[raw]
    if form.tag == _FLOAT:
        return raw.view("<f4" if form.bits == 32 else "<f8")
    if form.bits == 8:  # the only size without a sign
        return (raw.astype(np.float64) - 128) / 128
    if form.bits == 24:
        wide = np.zeros((raw.size // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)  # the highest three bytes of 32 bits
        return wide.view("<i4")[:, 0] / 2.0**31
    return raw.view(f"<i{form.bits // 8}") / 2.0 ** (form.bits - 1)


def _mu_law_table() -> NDArray[np.float64]:
    """ITU-T G.711, table 2a: 14 bits of value, the lowest 2 of 16 being 0."""
    code = ~np.arange(256) & 0xFF
    exponent, mantissa = code >> 4 & 7, code & 15
    value = ((2 * mantissa + 33) << exponent) - 33
    return np.where(code & 0x80, -value, value) * 4 / 32768.0


def _a_law_table() -> NDArray[np.float64]:
    """ITU-T G.711, table 1a: 13 bits of value, the lowest 3 of 16 being 0."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    value = np.where(exponent == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, value, -value) * 8 / 32768.0


_MU_TABLE, _A_TABLE = _mu_law_table(), _a_law_table()


def _guess(content: bytes) -> str:
    """What the file seems to be, where that is known."""
    known = {b"OggS": "Ogg", b"fLaC": "FLAC", b"ID3": "MP3", b"RIFX": "big-endian WAV", b"FORM": "AIFF", b".snd": "AU"}
    found = next((what for head, what in known.items() if content.startswith(head)), None)
    return f" (it looks like {found})" if found else " (it is empty)" if not content else ""
