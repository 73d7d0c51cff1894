"""What a task answers: the kinds of ``write`` in ``task.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...errors import TaskError
from .codec import check_fields
from .read_kinds import check_symbols


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelsWrite:
    """One label out of several for the whole input.

    Attributes:
        output: name of the output, float ``(batch, labels)``; or ``(batch, time, labels)`` with ``over_time``.
        labels: the label of each class.
        form: what the output holds: ``logits``, ``log_probs`` or ``probabilities``.
        over_time: ``last``: the last step's counts; ``mean``: the mean probability of all steps; None: there is no
            time.
        top: how many labels are shown.
        attention: name of an output, float ``(batch, time)``, that weighs what was read; shown beside the tokens.
    """

    kind: ClassVar = "labels"
    output: str
    labels: tuple[str, ...]
    form: Literal["logits", "log_probs", "probabilities"] = "logits"
    over_time: Literal["last", "mean"] | None = None
    top: int = 3
    attention: str | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        check_symbols(self.labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class TagsWrite:
    """One label for each step: of each token of a text, each row of a series, each frame of a sound.

    Attributes:
        output: name of the output: float ``(batch, time, labels)``, or whole numbers ``(batch, time)``.
        labels: the label of each class.
        form: what a float output holds.
        join: whether neighbours of one label are shown as one piece.
    """

    kind: ClassVar = "tags"
    output: str
    labels: tuple[str, ...]
    form: Literal["logits", "log_probs", "probabilities"] = "logits"
    join: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        check_symbols(self.labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokensWrite:
    """Text out of ids that a decoder chose.

    Attributes:
        output: name of the output, whole numbers ``(batch, steps)``, or ``(batch, beams, steps)``, the best beam first.
        symbols: the text of each id.
        join: what stands between two symbols.
        mark: a mark in the symbols that stands for a space, such as ``▁`` of pieces, or None.
        end: id that ends the text; what is behind it is not read. None where lengths tell.
        skip: ids that are left out, such as padding and the beginning.
        lengths: name of an output that tells each row's steps, ``(batch,)`` or ``(batch, beams)``, or None.
        scores: name of an output that ranks what was found, ``(batch,)`` or ``(batch, beams)``, or None.
    """

    kind: ClassVar = "tokens"
    output: str
    symbols: tuple[str, ...]
    join: str = ""
    mark: str | None = None
    end: int | None = None
    skip: tuple[int, ...] = ()
    lengths: str | None = None
    scores: str | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class CtcWrite:
    """Text out of frames by connectionist temporal classification; see :mod:`rnnx.runtime.ctc`.

    Attributes:
        output: name of the output, float ``(batch, time, symbols)``.
        symbols: the text of each class; the blank's is not shown.
        blank: the class that stands for no symbol.
        form: what the output holds.
        join: what stands between two symbols.
        beam_width: prefixes of the search; 1 takes each frame's best class.
        lengths: name of an output that tells the frames of each row; None where they follow from the input's length.
    """

    kind: ClassVar = "ctc"
    output: str
    symbols: tuple[str, ...]
    blank: int = 0
    form: Literal["logits", "log_probs", "probabilities"] = "log_probs"
    join: str = ""
    beam_width: int = 1
    lengths: str | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if not 0 <= self.blank < len(self.symbols):
            raise TaskError(f"blank is {self.blank}; there are {len(self.symbols)} symbols, the blank's among them.")
        if self.beam_width < 1:
            raise TaskError(f"beam_width is {self.beam_width}; it must be a whole number from 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastWrite:
    """Numbers: steps to come, or one value.

    Attributes:
        output: name of the output, float ``(batch, steps)``, or ``(batch, steps, quantiles)``, or ``(batch, 1)`` for
            one value; with ``over_time`` also ``(batch, time, steps)``.
        quantiles: shares of 1 that the last axis holds, such as ``(0.1, 0.5, 0.9)``; empty where there is no such axis.
        name: what is told, such as ``demand``.
        unit: such as ``MW``; empty for none.
        over_time: ``last`` where the model tells the future at every step of its input: the last step's counts.
    """

    kind: ClassVar = "forecast"
    output: str
    quantiles: tuple[float, ...] = ()
    name: str = "value"
    unit: str = ""
    over_time: Literal["last"] | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if any(not 0 < one < 1 for one in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise TaskError(f"the quantiles {list(self.quantiles)} must grow and lie between 0 and 1.")
        if self.quantiles and self.over_time is not None:
            raise TaskError("quantiles of every step of the input are not read. Leave 'over_time' or 'quantiles' out.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoresWrite:
    """A score for each step, and where it is above a threshold.

    Attributes:
        output: name of the output, float ``(batch, time)`` or ``(batch, time, 1)``; or ``(batch,)``/``(batch, 1)`` for
            one score of the whole.
        threshold: what is above is told.
        name: what is found there, such as ``anomaly``.
        form: ``score`` as the model gives it; ``logit`` is shown as a probability, which the threshold is of too.
    """

    kind: ClassVar = "scores"
    output: str
    threshold: float
    name: str = "anomaly"
    form: Literal["score", "logit"] = "score"

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mel:
    """A log-mel spectrogram, which Griffin-Lim turns into sound; see :mod:`rnnx.runtime.tasks.griffin_lim`.

    Attributes:
        fft_size: points of the Fourier transform.
        hop: samples from one frame to the next.
        mels: number of bands.
        low_hz, high_hz: where the lowest band begins and the highest ends; None is half the sample rate.
        scale: ``htk`` or ``slaney``; see :func:`rnnx.runtime.tasks.mel.mel_filters`.
        power: 1 where the bands sum magnitudes, 2 where they sum powers.
        log: base of the logarithm: ``e``, ``2`` or ``10``.
        window: length of the Hann window in samples; None is fft_size.
        lead: how many samples before sample ``t * hop`` the window of frame ``t`` begins: ``window - 1`` where a frame
            ends there, 0 where it begins there; None is half of the window.
        iterations: of Griffin-Lim.
        momentum: of its fast form (Perraudin, Balazs and Sondergaard, 2013), from 0 to below 1.
    """

    fft_size: int
    hop: int
    mels: int
    low_hz: float = 0.0
    high_hz: float | None = None
    scale: Literal["htk", "slaney"] = "htk"
    power: Literal[1, 2] = 2
    log: Literal["e", "2", "10"] = "e"
    window: int | None = None
    lead: int | None = None
    iterations: int = 60
    momentum: float = 0.99

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        window = self.fft_size if self.window is None else self.window
        if not 1 <= self.hop <= window <= self.fft_size:
            raise TaskError(
                f"hop {self.hop}, window {window} and fft_size {self.fft_size} must grow in this order, from 1."
            )
        if self.lead is not None and not 0 <= self.lead < window:
            raise TaskError(f"lead is {self.lead}; it must be from 0 to below the window, {window}.")
        if self.mels < 1 or self.iterations < 0 or not 0 <= self.momentum < 1:
            raise TaskError("mels must be from 1, iterations from 0 and momentum from 0 to below 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioWrite:
    """Sound.

    Attributes:
        output: name of the output: samples, float ``(batch, samples)``; or log-mel frames ``(batch, frames, mels)``.
        sample_rate: in hertz.
        mel: how frames were made; None where the output is samples.
        lengths: name of an output that tells each row's samples or frames, or None.
    """

    kind: ClassVar = "audio"
    output: str
    sample_rate: int
    mel: Mel | None = None
    lengths: str | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if self.sample_rate < 1:
            raise TaskError(f"sample_rate is {self.sample_rate}; it must be a whole number from 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateWrite:
    """Text that goes on from what was read: a language model, step by step through the streaming variant.

    Attributes:
        output: name of the output of the next symbol's logits, float ``(batch, time, symbols)``; ids are the reader's.
        length: how many symbols are written by default.
        temperature: by default; 0 takes the most probable symbol.
        top_k: only so many most probable symbols are drawn from; None draws from all.
        end: id that ends the text, or None.
        forbidden: ids that are never drawn, such as padding, the beginning and unknown symbols.
        join: what stands between two symbols: empty for characters.
        start: what an empty text is read as; empty refuses it.
    """

    kind: ClassVar = "generate"
    output: str
    length: int = 200
    temperature: float = 1.0
    top_k: int | None = None
    end: int | None = None
    forbidden: tuple[int, ...] = ()
    join: str = ""
    start: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not fit together; TaskError."""
        check_fields(self)
        if self.length < 1 or self.temperature < 0 or (self.top_k is not None and self.top_k < 1):
            raise TaskError("length must be from 1, temperature from 0, and top_k from 1 or null.")


Write = LabelsWrite | TagsWrite | TokensWrite | CtcWrite | ForecastWrite | ScoresWrite | AudioWrite | GenerateWrite
