"""What ``rnnx tune`` found out on one machine and keeps in the manifest, and how one such entry is chosen again.

An entry is bound to the machine (processor, cores, GPU), to the provider and the mode, and to what was tuned for: an
objective at one size of batch and time. Another machine's entries stay beside it, untouched.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import InputError, TuningError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: What may be tuned for, and the unit in which it is told.
OBJECTIVES = {"p50": "ms", "p99": "ms", "throughput": "sequences/s"}

_SIZE = re.compile(r"([1-9]\d*)x([1-9]\d*)\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What tuning gained where it was measured.

    Attributes:
        tuned: the objective's value with the entry, in its unit (:data:`OBJECTIVES`).
        default: the same of ``rnnx.load(path)`` as it is, beside it.
        ratio: how many times better the entry is; 1 where it is the default itself.
        low: lower end of the ratio's 95% interval.
        high: upper end.
    """

    tuned: float
    default: float
    ratio: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """A JSON-able dict."""
        return {name: getattr(self, name) for name in _NUMBERS}


_NUMBERS = ("tuned", "default", "ratio", "low", "high")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """The best way to run a bundle on one machine for one purpose.

    Attributes:
        cpu: the processor's name.
        cores: how many cores the process could use.
        gpu: the GPU's name where the provider uses one, else empty.
        provider: execution provider, such as ``cpu``.
        mode: ``offline`` or ``streaming``.
        batch: rows of a batch.
        time: steps of a sequence, in streaming mode of a chunk.
        objective: out of :data:`OBJECTIVES`.
        precision: of the variant to load.
        form: of the variant to load.
        threads: threads within one operator; None for ONNX Runtime's own choice.
        session_options: ONNX Runtime's session options by their own names, where they are not the defaults.
        provider_options: the provider's options by their own names.
        graph_sha256: of the variant's files, so that an entry for a graph that was made again is not used.
        onnxruntime: version of ONNX Runtime with which it was measured.
        measured: what it gained.
        max_loss: how much a variant was allowed to lose, as it was asked for; empty where nothing was.
        sizes: of other dynamic axes that were named.
        date: when, ISO 8601.
    """

    cpu: str
    cores: int
    provider: str
    mode: str
    batch: int
    time: int
    objective: str
    precision: str
    graph_sha256: str
    onnxruntime: str
    measured: Measured
    gpu: str = ""
    form: str = ""
    threads: int | None = None
    session_options: Mapping[str, str | bool] = field(default_factory=dict)
    provider_options: Mapping[str, str] = field(default_factory=dict)
    max_loss: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    date: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What there is one entry for: another with the same replaces it."""
        return (self.cpu, self.cores, self.gpu, self.provider, self.mode, self.batch, self.time, self.objective)

    @property
    def label(self) -> str:
        """``p99 1x100``: the objective, and batch x time; what ``rnnx.load(..., tuned=...)`` takes."""
        return f"{self.objective} {self.batch}x{self.time}"

    @property
    def machine(self) -> str:
        """For people: processor, cores and GPU."""
        return machine_text(self.cpu, self.cores, self.gpu)

    @property
    def settings(self) -> str:
        """For people: threads and options, such as ``1 thread, session.intra_op.allow_spinning=0``."""
        return settings_text(self.threads, self.session_options, self.provider_options)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "cpu": self.cpu,
            "cores": self.cores,
            "gpu": self.gpu,
            "provider": self.provider,
            "mode": self.mode,
            "batch": self.batch,
            "time": self.time,
            "sizes": dict(sorted(self.sizes.items())),
            "objective": self.objective,
            "precision": self.precision,
            "form": self.form,
            "threads": self.threads,
            "session_options": dict(sorted(self.session_options.items())),
            "provider_options": dict(sorted(self.provider_options.items())),
            "graph_sha256": self.graph_sha256,
            "onnxruntime": self.onnxruntime,
            "measured": self.measured.to_json(),
            "max_loss": self.max_loss,
            "date": self.date,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tuned:
        """The entry that :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: ``data`` is not such a dict.
        """
        numbers = {name: float(data["measured"][name]) for name in _NUMBERS}
        wrong = [name for name, value in numbers.items() if not (math.isfinite(value) and value >= 0)]
        if wrong:
            raise ValueError(f"the tuned entry's '{wrong[0]}' is {numbers[wrong[0]]}")
        counts = {name: data[name] for name in ("cores", "batch", "time")}
        if data["threads"] is not None:
            counts["threads"] = data["threads"]
        for name, count in counts.items():
            if type(count) is not int or count < 1:
                raise ValueError(f"the tuned entry's '{name}' is {count!r}")
        return cls(
            cpu=str(data["cpu"]),
            cores=data["cores"],
            gpu=str(data["gpu"]),
            provider=str(data["provider"]),
            mode=str(data["mode"]),
            batch=data["batch"],
            time=data["time"],
            sizes={str(axis): int(size) for axis, size in data["sizes"].items()},
            objective=str(data["objective"]),
            precision=str(data["precision"]),
            form=str(data["form"]),
            threads=data["threads"],
            session_options={
                str(name): value if isinstance(value, bool) else str(value)
                for name, value in data["session_options"].items()
            },
            provider_options={str(name): str(value) for name, value in data["provider_options"].items()},
            graph_sha256=str(data["graph_sha256"]),
            onnxruntime=str(data["onnxruntime"]),
            measured=Measured(**numbers),
            max_loss=str(data["max_loss"]),
            date=str(data["date"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """Which entry is wanted, where a bundle has several.

    Attributes:
        objective: out of :data:`OBJECTIVES`; empty for any.
        batch: rows of a batch; None for any.
        time: steps; None for any.
    """

    objective: str = ""
    batch: int | None = None
    time: int | None = None

    @classmethod
    def parse(cls, text: str) -> Wish:
        """``p99 1x100``: an objective, or batch x time, or both.

        Raises:
            InputError: it is neither.
        """
        objective, size = "", None
        for word in text.split():
            found = _SIZE.match(word)
            if found is not None and size is None:
                size = int(found[1]), int(found[2])
            elif word in OBJECTIVES and not objective:
                objective = word
            else:
                raise InputError(
                    f"tuned is {text!r}; it must be an objective ({', '.join(OBJECTIVES)}), BATCHxTIME, or both: "
                    "'p99 1x100'."
                )
        return cls(objective=objective, batch=size and size[0], time=size and size[1])

    def admits(self, entry: Tuned) -> bool:
        """Whether the entry is one of those wanted."""
        return (
            self.objective in {"", entry.objective}
            and self.batch in {None, entry.batch}
            and self.time in {None, entry.time}
        )


def choose(
    entries: Iterable[Tuned], wish: Wish, *, cpu: str, cores: int, gpu: str, provider: str, mode: str, where: str
) -> Tuned:
    """The one entry that fits this machine, the provider, the mode and what is wanted.

    Args:
        entries: all of a bundle.
        wish: which of them.
        cpu: the processor's name.
        cores: how many cores the process may use.
        gpu: the GPU's name where the provider uses one.
        provider: execution provider.
        mode: ``offline`` or ``streaming``.
        where: the bundle's path, for messages.

    Raises:
        TuningError: no entry fits, or several do.
    """
    entries = list(entries)
    command = f"Run: rnnx tune {where} --provider {provider} --mode {mode}"
    here = [one for one in entries if (one.cpu, one.cores, one.gpu) == (cpu, cores, gpu)]
    if not here:
        there = ", ".join(dict.fromkeys(f"'{one.machine}'" for one in entries)) or "no machine at all"
        raise TuningError(
            f"bundle '{where}' is not tuned for '{machine_text(cpu, cores, gpu)}'; it is for {there}. {command}"
        )
    kinds = [one for one in here if (one.provider, one.mode) == (provider, mode)]
    if not kinds:
        there = ", ".join(dict.fromkeys(f"'{one.provider} {one.mode}'" for one in here))
        raise TuningError(
            f"bundle '{where}' is not tuned for '{provider} {mode}' on this machine; it is for {there}. {command}"
        )
    fitting = [one for one in kinds if wish.admits(one)]
    listed = _listing(fitting or kinds)
    if not fitting:
        raise TuningError(f"bundle '{where}' is not tuned for what tuned= names; it is for {listed}. {command}")
    if len(fitting) > 1:
        raise TuningError(
            f"bundle '{where}' is tuned for {listed} here: say for which, such as tuned='{fitting[0].label}'."
        )
    return fitting[0]


def with_entry(entries: Sequence[Tuned], entry: Tuned) -> tuple[Tuned, ...]:
    """The entries with a new one, which replaces what stands for the same key."""
    return (*(one for one in entries if one.key != entry.key), entry)


def machine_text(cpu: str, cores: int, gpu: str = "") -> str:
    """For people: ``AMD EPYC 9B14, 2 cores``."""
    return f"{cpu}, {cores} core{'s' * (cores != 1)}" + (f", {gpu}" if gpu else "")


def settings_text(
    threads: int | None, session_options: Mapping[str, str | bool], provider_options: Mapping[str, str]
) -> str:
    """For people: threads and options, such as ``1 thread, session.intra_op.allow_spinning=0``."""
    counted = "default threads" if threads is None else f"{threads} thread{'s' * (threads != 1)}"
    given = {**session_options, **provider_options}
    return ", ".join([counted, *(f"{name}={value}" for name, value in sorted(given.items()))])


def _listing(entries: Iterable[Tuned]) -> str:
    return ", ".join(f"'{one.label}'" for one in entries)
