"""What a task takes: the kinds of ``read`` in ``task.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  (the codec looks at the hints)
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ...errors import TaskError
from .codec import check_fields

NormalForm = Literal["NFC", "NFKC", "NFD", "NFKD"]

#: The axes of an image or a video: N batch, T frames, C channels, H height, W width, P all pixels, row by row.
_IMAGE_AXES, _VIDEO_AXES = ("CHW", "HW", "CP", "P"), ("CHWT", "HWT", "CPT", "PT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Characters:
    """A text as its characters.

    Attributes:
        symbols: the symbol of each id. Symbols that are not one character long, such as ``<end>`` or the empty text,
            stand for ids that no text gives.
        lower: whether the text is made lower case first.
        normal_form: the Unicode normal form that it is brought to before that; None leaves it.
        begin: id that is put before the text, or None.
        end: id that is put behind it, or None.
        unknown: id of characters that are no symbol; None refuses them, naming each and where it stands.
        replace: what is put in place of a text, such as a plain quote for a typographic one, before all else.
    """

    kind: ClassVar = "characters"
    symbols: tuple[str, ...]
    lower: bool = False
    normal_form: NormalForm | None = "NFC"
    replace: Mapping[str, str] = field(default_factory=dict)
    begin: int | None = None
    end: int | None = None
    unknown: int | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        _check_tokens(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Letters:
    """The characters of each word, an input of their own beside the words: ids ``(batch, time, characters)``.

    Attributes:
        input: name of the input. Words are padded with ``pad`` to the longest of the batch.
        symbols: as of :class:`Characters`.
        unknown: id of characters that are no symbol, or None to refuse them.
        pad: id behind the end of a word.
        most: longer words are cut to so many characters; None keeps them.
        least: shorter words are padded to so many.
    """

    input: str
    symbols: tuple[str, ...]
    unknown: int | None = None
    pad: int = 0
    most: int | None = None
    least: int = 1

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        check_symbols(self.symbols)
        _check_id("unknown", self.unknown, len(self.symbols))
        _check_id("pad", self.pad, len(self.symbols))


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """A text as its words.

    Attributes:
        pattern: regular expression; every match is a word, what lies between is left out.
        symbols: the word of each id; ids that no text gives have a word that the pattern does not match. Empty where
            the model reads :attr:`letters` alone.
        lower: whether the words are looked up in lower case. What a person is shown keeps its case.
        normal_form: the Unicode normal form that the text is brought to first; None leaves it.
        begin: id that is put before the words, or None.
        end: id that is put behind them, or None.
        unknown: id of words that are no symbol; None refuses them, naming each.
        replace: as of :class:`Characters`.
        continuing: cuts a word that is no symbol into the longest symbols from the left, of which the later ones begin
            with this mark, such as ``##`` (WordPiece: Wu et al., "Google's neural machine translation system", 2016);
            where nothing fits, one character is unknown. None leaves words whole.
        letters: the characters of each word as a further input, or None.
    """

    kind: ClassVar = "words"
    pattern: str = r"\S+"
    symbols: tuple[str, ...] = ()
    lower: bool = False
    normal_form: NormalForm | None = "NFC"
    replace: Mapping[str, str] = field(default_factory=dict)
    continuing: str | None = None
    begin: int | None = None
    end: int | None = None
    unknown: int | None = None
    letters: Letters | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        _check_tokens(self)
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise TaskError(f"the pattern '{self.pattern}' is no regular expression: {error}.") from None
        if not self.symbols and self.letters is None:
            raise TaskError("words have neither symbols nor letters, so there is nothing to feed. Give one of them.")
        if self.continuing is not None and (self.letters is not None or not self.continuing or not self.symbols):
            raise TaskError("pieces of words need symbols and a mark such as '##', and go without letters.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """A text as pieces that know of the spaces before them, cut greedily, the longest first.

    Spaces become one, and each word has the mark before it: ``Show rows`` is read as ``▁Show▁rows``.

    Attributes:
        symbols: the piece of each id.
        lower: whether the text is made lower case first.
        normal_form: the Unicode normal form that it is brought to before that; None leaves it.
        begin: id that is put before the text, or None.
        end: id that is put behind it, or None.
        unknown: id of a character that no piece fits; None refuses it.
        replace: as of :class:`Characters`.
    """

    kind: ClassVar = "pieces"
    symbols: tuple[str, ...]
    lower: bool = False
    normal_form: NormalForm | None = "NFC"
    replace: Mapping[str, str] = field(default_factory=dict)
    begin: int | None = None
    end: int | None = None
    unknown: int | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        _check_tokens(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRead:
    """Text.

    Attributes:
        input: name of the int64 input ``(batch, time)``; empty where words go in as letters alone.
        tokenizer: how text becomes ids.
        split: whether each word of a text, what lies between spaces, is a row of its own.
        most: longer texts, or words where they are rows of their own, are refused: so many characters, words or pieces
            of words, as the tokenizer counts. None takes any.
    """

    kind: ClassVar = "text"
    input: str
    tokenizer: Characters | Words | Pieces
    split: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if self.most is not None:
            _check_least("most", self.most, 1)
        if bool(self.input) != bool(self.tokenizer.symbols):
            raise TaskError("a text read has an input where its tokenizer has symbols, and else an empty one.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioRead:
    """Sound: a WAV file, or float samples with their rate.

    Attributes:
        input: name of the float32 input ``(batch, time)`` or ``(batch, time, 1)``, samples from -1 to 1.
        sample_rate: of the model, in hertz; other rates are resampled.
        channels: ``mix`` takes the mean of several channels, ``first`` the first one, ``refuse`` none but mono.
        least_samples: fewer samples, after resampling, are refused.
        most_seconds: longer sound is refused; None takes any.
        silence_samples: how many samples of silence are put behind a sound, for a model that tells some time later what
            it heard: a microphone goes on, and a file ends with its last word.
    """

    kind: ClassVar = "audio"
    input: str
    sample_rate: int
    channels: Literal["mix", "first", "refuse"] = "mix"
    least_samples: int = 1
    most_seconds: float | None = None
    silence_samples: int = 0

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        _check_least("sample_rate", self.sample_rate, 1)
        _check_least("least_samples", self.least_samples, 1)
        _check_least("silence_samples", self.silence_samples, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRead:
    """A picture.

    Attributes:
        input: name of the input, float32 or uint8.
        height: in pixels.
        width: in pixels; None keeps the picture's proportions at that height, and the model takes any width.
        least: pictures of fewer pixels, across or down, are refused, for what they show is not to be seen; None takes a
            quarter of what the model looks at.
        channels: 1 for grey, 3 for red, green, blue. What is transparent is laid over white.
        layout: order of the axes: N batch, C channels, H height, W width, or P for all pixels row by row. C may be
            left out where there is one channel: ``NCHW``, ``NHWC``, ``NWH``, ``NPC`` ...
        scale: factor on values from 0 to 255 before they go in as float32; a uint8 input takes them as they are.
        invert: whether black becomes white first.
        fit: where height and width are given: ``stretch`` to them, or ``pad`` with ``white`` around the picture.
    """

    kind: ClassVar = "image"
    input: str
    height: int
    width: int | None = None
    channels: Literal[1, 3] = 3
    layout: str = "NCHW"
    scale: float = 1 / 255
    invert: bool = False
    fit: Literal["stretch", "pad"] = "stretch"
    least: int | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        check_picture(self, _IMAGE_AXES)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRead:
    """Moving pictures: a GIF, APNG or WebP, or several picture files in order.

    Attributes:
        input, height, width, channels, layout, scale, invert, fit, least: as of :class:`ImageRead`; the layout has T
            for the frames too.
        frames: so many frames, taken evenly from first to last; None takes all.
        least_frames: fewer are refused.
    """

    kind: ClassVar = "video"
    input: str
    height: int
    width: int
    channels: Literal[1, 3] = 3
    layout: str = "NTCHW"
    scale: float = 1 / 255
    invert: bool = False
    fit: Literal["stretch", "pad"] = "stretch"
    least: int | None = None
    frames: int | None = None
    least_frames: int = 1

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        check_picture(self, _VIDEO_AXES)
        _check_least("least_frames", self.least_frames, 1)
        if self.frames is not None:
            _check_least("frames", self.frames, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Columns of a series that go into one input.

    Attributes:
        input: its name, float32 ``(batch, time, columns)``, or ``(batch, columns)`` of rows ``first``; with one column
            the last axis may be left out.
        columns: names in the file's header. A file without a header has them in the order of all tables' columns.
        rows: ``past``: all but the last ``horizon`` rows; ``future``: those; ``all``; ``first``: what does not change.
        mask: name of an input of the same shape that is 1 where a value was there and 0 where it is missing, or None.
        gaps: name of an input that tells time since the row before, ``(batch, time)`` or ``(batch, time, 1)``; or, of
            the shape of the values, since each column's last value (0 in the first row; Che et al., "Recurrent neural
            networks for multivariate time series with missing values", 2018, equation 2). None for no such input.
        fill: what stands where a value is missing: ``zero``, or ``last``, the value before (0 where there is none).
        needed: columns that must have a value in the first row of the table, so that every gap has one before it.
    """

    input: str
    columns: tuple[str, ...]
    rows: Literal["past", "future", "all", "first"] = "past"
    mask: str | None = None
    gaps: str | None = None
    fill: Literal["zero", "last"] = "zero"
    needed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise TaskError(f"the columns {list(self.columns)} of '{self.input}' must be some, each named once.")
        if not set(self.needed) <= set(self.columns):
            raise TaskError(f"the needed columns {list(self.needed)} must be among {list(self.columns)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesRead:
    """A table over time: a CSV file, a ``.npy`` file or an array ``(time, columns)``.

    Attributes:
        tables: which columns go into which input.
        horizon: how many rows at the end are the future, of which only the tables of ``future`` are read.
        missing: whether an empty cell, ``NA`` or ``nan`` is refused or told to the model: ``mask``.
        time: column that tells the time of a row, in any unit, growing; None counts rows. It goes to no input unless
            a table names it.
        categories: numbers of words, by column, such as ``{"sex": {"f": 1, "m": 0}}``.
        least_rows: fewer rows of the past are refused.
    """

    kind: ClassVar = "series"
    tables: tuple[Table, ...]
    horizon: int = 0
    missing: Literal["refuse", "mask"] = "refuse"
    time: str | None = None
    categories: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    least_rows: int = 1

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        _check_least("horizon", self.horizon, 0)
        if not self.tables:
            raise TaskError("a series read has no tables. Say which columns go into which input.")
        if any(one.rows == "future" for one in self.tables) and not self.horizon:
            raise TaskError("a table takes rows of the future, and horizon is 0. Say how many rows they are.")


Read = TextRead | AudioRead | ImageRead | VideoRead | SeriesRead


def check_symbols(symbols: tuple[str, ...]) -> None:
    """Refuse a symbol that stands for two ids; the empty text may."""
    named = [one for one in symbols if one]
    if len(set(named)) < len(named):
        twice = next(one for one in named if named.count(one) > 1)
        raise TaskError(f"the symbol {twice!r} stands twice, so its id cannot be told. Name each once.")


def check_picture(one: ImageRead | VideoRead, axes: tuple[str, ...]) -> None:
    """Refuse sizes below 1 and a layout that is none."""
    _check_least("height", one.height, 1)
    if one.least is not None:
        _check_least("least", one.least, 1)
    if one.width is not None:
        _check_least("width", one.width, 1)
    allowed = [form for form in axes if "C" in form or one.channels == 1]
    if not one.layout.startswith("N") or sorted(one.layout[1:]) not in [sorted(form) for form in allowed]:
        forms = ", ".join(f"'{form}'" for form in allowed)
        raise TaskError(f"layout '{one.layout}' must be 'N' and then the letters of one of {forms}, in any order.")
    if "P" in one.layout and one.width is None:
        raise TaskError(f"layout '{one.layout}' needs a width: rows of pixels of any width cannot be told apart.")


def _check_id(name: str, value: int | None, count: int) -> None:
    if value is not None and not 0 <= value < count:
        raise TaskError(f"{name} is {value}; there are {count} symbols, so allowed is 0 <= {name} < {count}.")


def _check_tokens(kind: Characters | Words | Pieces) -> None:
    check_fields(kind)
    check_symbols(kind.symbols)
    for name in ("begin", "end", "unknown"):
        _check_id(name, getattr(kind, name), len(kind.symbols))


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise TaskError(f"{name} is {value}; it must be a whole number from {least}.")
