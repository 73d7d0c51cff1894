"""From what a person hands over to one row of a model's inputs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, ShapeError
from .pictures import image_array, video_array
from .read_kinds import AudioRead, ImageRead, Read, SeriesRead, TextRead, VideoRead, Words
from .resample import resample
from .series import series_arrays
from .tokenizers import WordEncoder, check_text, encoder
from .wav import check_loudness, check_rate, read_wav

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...signature import AxisRange, Signature, TensorSpec


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Item:
    """One row.

    Attributes:
        inputs: arrays by input name, without their batch axis, of the dtypes that the signature declares.
        name: what to call it: the text, or a file's name.
        tokens: the text of each step, where a text was read; empty for a step that no text stands for.
        ahead: times of the rows of a series that are the future, where a column tells them.
    """

    inputs: Mapping[str, NDArray[Any]]
    name: str
    tokens: tuple[str, ...] = ()
    ahead: NDArray[np.float64] | None = None


def read_item(read: Read, source: Any, signature: Signature) -> Item:  # noqa: ANN401  (what each kind takes)
    """One row from one source.

    Args:
        read: what the model takes.
        source: a text; or for the other kinds a path, a file's bytes, or an array: for sound ``(samples, rate)``,
            float ``(samples,)`` or ``(samples, channels)`` from -1 to 1 and hertz; for a video also
            several paths, or a folder of pictures in the order of their names, in which numbers count by their
            value; for a series also arrays by column.
        signature: of the model.

    Raises:
        InputError: the source cannot be read, or is not what the model takes; ShapeError is a kind of it.
        MissingExtraError: pictures are read, and Pillow is not installed.
        OSError: a file cannot be read.
    """
    match read:
        case TextRead():
            return _text(read, source, signature)
        case AudioRead():
            arrays, name = {read.input: _audio(read, source)}, _name(source, "the sound")
        case ImageRead():
            content, name = _loaded(source, "the picture", "a path, bytes or an array")
            arrays = {read.input: image_array(content, read, name, signature.input(read.input).dtype)}
        case VideoRead():
            arrays, name = {read.input: _video(read, source, signature)}, _name(source, "the video")
        case SeriesRead():
            return _series(read, source, signature)
    return Item(inputs=_shaped(arrays, signature, name), name=name)


def _text(read: TextRead, text: str, signature: Signature) -> Item:
    check_text(read, text)
    made = encoder(read.tokenizer)
    tokens = tuple(made.tokens(text))
    if not "".join(tokens).strip():  # also where what was given is replaced by spaces
        raise InputError("the text is empty. Give at least one word.")
    arrays: dict[str, NDArray[Any]] = {}
    if read.input:
        arrays[read.input] = np.array(made.encode(text), np.int64)
    if isinstance(made, WordEncoder) and isinstance(read.tokenizer, Words) and read.tokenizer.letters is not None:
        letters = read.tokenizer.letters
        words = made.letters(text)
        width = max(letters.least, *map(len, words))
        table = np.full((len(words), width), letters.pad, np.int64)
        for row, word in zip(table, words, strict=True):
            row[: len(word)] = word
        arrays[letters.input] = table
    return Item(inputs=_shaped(arrays, signature, "the text"), name=text, tokens=tokens)


def _audio(read: AudioRead, source: Any) -> NDArray[np.float32]:  # noqa: ANN401
    if isinstance(source, tuple) and len(source) == 2:
        samples, rate = _given_samples(*source)
        name = "the sound"
    elif isinstance(source, np.ndarray):
        raise InputError("an array of samples does not tell its sample rate. Pass (samples, rate).")
    else:
        content, name = _loaded(source, "the sound", "a path, bytes or (samples, rate)")
        samples, rate = read_wav(content, name)
    channels = samples.shape[1]
    if channels > 1 and read.channels == "refuse":
        raise InputError(f"{name} has {channels} channels; the model takes one. Mix them first.")
    mono = samples[:, 0] if read.channels == "first" or channels == 1 else samples.mean(axis=1, dtype=np.float32)
    if read.most_seconds is not None and len(mono) > read.most_seconds * rate:
        raise InputError(f"{name} is {len(mono) / rate:.1f} s long; allowed are {read.most_seconds:g} s. Cut it.")
    found = resample(mono, rate, read.sample_rate)
    if len(found) < read.least_samples:
        least = read.least_samples / read.sample_rate
        raise InputError(
            f"{name} is too short: {len(mono) / rate:.4g} s, {len(found)} samples at {read.sample_rate} Hz. The model "
            f"takes at least {least:.4g} s, {read.least_samples} samples. Give a longer sound."
        )
    return np.pad(found, (0, read.silence_samples))


def _given_samples(samples: Any, rate: Any) -> tuple[NDArray[np.float32], int]:  # noqa: ANN401
    array = np.asarray(samples)
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer):
        raise InputError(f"the sample rate is {rate!r}; it must be a whole number of hertz.")
    check_rate(int(rate), "the sound")
    if array.dtype.kind != "f" or array.ndim not in {1, 2} or not array.size:
        raise ShapeError(
            f"the samples are {array.dtype}{list(array.shape)}; they must be float (samples,) or (samples, channels), "
            "from -1 to 1. Divide whole numbers of 16 bits by 32768."
        )
    check_loudness(array, "the sound")
    values = array.astype(np.float32)
    return values[:, None] if values.ndim == 1 else values, int(rate)


def _video(read: VideoRead, source: Any, signature: Signature) -> NDArray[Any]:  # noqa: ANN401
    name = _name(source, "the video")
    content: list[bytes] | NDArray[Any]
    files: list[str] = []
    if isinstance(source, np.ndarray):
        content = source
    elif isinstance(source, Sequence) and not isinstance(source, str | bytes | bytearray):
        if not source:
            raise InputError("a video of no files was given. Give at least one.")
        content = [_file(one) for one in source]
        files = [_name(one, f"{name}, file {number}") for number, one in enumerate(source, 1)]
    elif isinstance(source, str | os.PathLike) and Path(source).is_dir():
        there = [one for one in Path(source).iterdir() if one.is_file() and not one.name.startswith(".")]
        paths = sorted(there, key=lambda one: _counted(one.name))
        if not paths:
            raise InputError(f"the folder {name} holds no files. Give one that holds a video's pictures.")
        content, files = [_file(one) for one in paths], [f"'{one}'" for one in paths]
    else:
        content = [_file(source)]
    return video_array(content, read, name, signature.input(read.input).dtype, files)


def _counted(name: str) -> list[tuple[int, str]]:
    """What names are sorted by: frame 10 comes behind frame 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _series(read: SeriesRead, source: Any, signature: Signature) -> Item:  # noqa: ANN401
    if isinstance(source, Mapping):
        content, name = source, "the series"
    else:
        content, name = _loaded(source, "the series", "a path, bytes, an array, or arrays by column")
    by_column = frozenset(
        one.gaps
        for one in read.tables
        if one.gaps is not None and _axes(signature, one.gaps)[1:] == (len(one.columns),)
    )
    found = series_arrays(content, read, name, by_column=by_column)
    return Item(inputs=_shaped(found.inputs, signature, name), name=name, ahead=found.ahead)


def _axes(signature: Signature, name: str) -> tuple[int | str, ...]:
    return signature.input(name).axes[1:]


def _shaped(arrays: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> dict[str, NDArray[Any]]:
    specs = {name: signature.input(name) for name in arrays}
    return {name: _cast(_shape(array, specs[name]), specs[name], what) for name, array in arrays.items()}


def check_sizes(item: Item, signature: Signature) -> None:
    """Refuse a row that is too short or too long to be run as a whole, in words of what was handed over.

    Raises:
        InputError: an axis is below or above its range.
    """
    for name, array in item.inputs.items():
        spec = signature.input(name)
        for axis, size in zip(spec.axes[1:], array.shape, strict=True):
            if isinstance(axis, str):
                _check_size(size, signature.range(axis), "the text" if item.tokens else item.name, spec)


def _check_size(size: int, allowed: AxisRange, what: str, spec: TensorSpec) -> None:
    short, long = size < allowed.minimum, allowed.maximum is not None and size > allowed.maximum
    if short or long:
        raise InputError(
            f"{what} gives the input '{spec}' {size} for '{allowed.name}'; the model takes {allowed}. "
            f"{'Give more of it' if short else 'Cut it'}."
        )


def _cast(array: NDArray[Any], spec: TensorSpec, what: str) -> NDArray[Any]:
    """A row in the declared dtype, if that holds its values.

    Raises:
        InputError: a number is too large, or no whole number where one is asked for.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = array.astype(spec.dtype, copy=False)
    wrong = ~np.isfinite(found) if found.dtype.kind == "f" else found != array
    if wrong.any():
        allowed = f"numbers up to {np.finfo(found.dtype).max:.3g}" if found.dtype.kind == "f" else "whole numbers"
        raise InputError(f"{what} holds {array[wrong][0]:g}; the input '{spec}' takes {allowed}. Correct it.")
    return found


def _shape(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """A row with a last axis of one added or taken away as declared."""
    rank = len(spec.axes) - 1
    if array.ndim == rank + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    elif array.ndim == rank - 1 and spec.axes[-1] == 1:
        array = array[..., None]
    return array


def _loaded(source: Any, what: str, allowed: str) -> tuple[Any, str]:  # noqa: ANN401
    """A file's bytes, or the array that was given; and what to call it."""
    if isinstance(source, np.ndarray):
        return source, what
    if isinstance(source, str | bytes | bytearray | os.PathLike):
        return _file(source), _name(source, what)
    raise InputError(f"{what} is a {type(source).__name__}; it must be {allowed}.")


def _file(source: Any) -> bytes:  # noqa: ANN401
    if isinstance(source, bytes | bytearray):
        return bytes(source)
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"a file is asked for, and {type(source).__name__} was given. Give a path or bytes.")
    path = Path(source)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist. Give a file that is there.") from None
    except IsADirectoryError:
        raise InputError(f"'{path}' is a folder. Give a file.") from None


def _name(source: object, otherwise: str) -> str:
    return f"'{os.fspath(source)!s}'" if isinstance(source, str | os.PathLike) else otherwise
