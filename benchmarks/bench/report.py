"""What a benchmark found, and its form as JSON.

The form is stable: a key is never renamed and never changes its meaning without a new :data:`SCHEMA_VERSION`; new
keys may come. Durations are in the unit that a key ends with. ``rounds_ms`` are the medians of each round, from which a
later benchmark tells whether a difference is beyond noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .candidates import Spec
    from .ceilings import Ceilings
    from .intervals import Latency, Ratio
    from .resources import Resources
    from .roofline import Roofline
    from .schedule import WarmUp

SCHEMA = "rnnx-bench"
SCHEMA_VERSION = 1
#: Preemptions of one run beyond which the machine was too busy to believe more than the medians.
MOST_PREEMPTED = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A place where candidates are measured side by side.

    Attributes:
        mode: ``offline`` or ``streaming``.
        threads: threads within one operator.
        batch: rows.
        time: steps; in streaming mode those of one chunk.
        sizes: of every dynamic axis.
    """

    mode: str
    threads: int
    batch: int
    time: int
    sizes: Mapping[str, int]

    def __str__(self) -> str:
        """``offline, 1 thread, batch 1, time 100``."""
        plural = "" if self.threads == 1 else "s"
        others = "".join(f", {axis} {size}" for axis, size in self.sizes.items() if axis not in {"batch", "time"})
        return f"{self.mode}, {self.threads} thread{plural}, batch {self.batch}, time {self.time}{others}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far a candidate's answer is from the reference's.

    Attributes:
        max_abs_diff: largest absolute difference; infinity where they cannot be compared.
        allowed: the largest that its tolerance allows.
        sqnr_db: power of the reference over power of the difference, in decibels; infinity where they are equal.
        agrees: whether it is within the tolerance.
        reason: why they cannot be compared, or empty.
    """

    max_abs_diff: float
    allowed: float
    sqnr_db: float
    agrees: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; infinity is written as null."""
        return {
            "max_abs_diff": finite(self.max_abs_diff),
            "allowed": self.allowed,
            "sqnr_db": finite(self.sqnr_db),
            "agrees": self.agrees,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One candidate in one cell.

    Attributes:
        spec: the candidate.
        cell: where it was measured.
        note: what a reader must know of it, or empty.
        latency: of one run.
        ratio: how many times faster than the cell's reference it is.
        is_reference: whether it is that reference.
        noise: how far even rounds are from odd ones, relative.
        warm_up: before it.
        rounds_ms: the median of each round.
        sequences_per_s: rows of the batch a second.
        frames_per_s: rows times steps a second.
        real_time_factor: time of computing over the time that the steps last, below 1 where it keeps up with live
            input; None where the frame period is not known.
        joules: energy of one run, of the whole processor; None where the machine does not tell.
        preempted: how often in one run the system gave a core to another process; None where it does not tell.
        agreement: with the reference's answer.
        roofline: how near it is to the machine's limit, or None where that is not known.
    """

    spec: Spec
    cell: Cell
    note: str
    latency: Latency
    ratio: Ratio
    is_reference: bool
    noise: float
    warm_up: WarmUp
    rounds_ms: tuple[float, ...]
    sequences_per_s: float
    frames_per_s: float
    real_time_factor: float | None
    joules: float | None
    preempted: float | None
    agreement: Agreement
    roofline: Roofline | None

    @property
    def disturbed(self) -> bool:
        """Whether other processes took a core away so often that the percentiles are theirs too."""
        return self.preempted is not None and self.preempted > MOST_PREEMPTED

    @property
    def key(self) -> str:
        """What names the same measurement in another benchmark."""
        return f"{self.spec.name} | {self.cell}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        warm = self.warm_up
        return {
            "key": self.key,
            "candidate": self.spec.name,
            **self.spec.to_json(),
            "batch": self.cell.batch,
            "time": self.cell.time,
            "sizes": dict(self.cell.sizes),
            "note": self.note,
            "latency_ms": self.latency.to_json(),
            "ratio": self.ratio.to_json(),
            "is_reference": self.is_reference,
            "noise": self.noise,
            "warm_up": {"runs": warm.runs, "seconds": warm.seconds, "stable": warm.stable},
            "rounds_ms": [float(f"{one:.6g}") for one in self.rounds_ms],
            "sequences_per_s": self.sequences_per_s,
            "frames_per_s": self.frames_per_s,
            "real_time_factor": self.real_time_factor,
            "joules": self.joules,
            "preempted": self.preempted,
            "disturbed": self.disturbed,
            "agreement": self.agreement.to_json(),
            "roofline": None if self.roofline is None else self.roofline.to_json(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Something that was asked for and not measured.

    Attributes:
        candidate: its name.
        where: the cell, or what it was to be measured in.
        reason: why.
        failed: whether that is a failure, as with every variant of the bundle, and not a peer's absence.
    """

    candidate: str
    where: str
    reason: str
    failed: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {"candidate": self.candidate, "where": self.where, "reason": self.reason, "failed": self.failed}


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What a candidate takes beside time.

    Attributes:
        spec: the candidate.
        sizes: at which sizes.
        resources: what it takes.
    """

    spec: Spec
    sizes: Mapping[str, int]
    resources: Resources

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        named = {"candidate": self.spec.name, **self.spec.to_json(), "sizes": dict(self.sizes)}
        return named | self.resources.to_json()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole benchmark.

    Attributes:
        bundle: path, name and hash of the bundle.
        created: when it began, ISO 8601 in UTC.
        request: what was asked for.
        machine: where it ran.
        ceilings: what the machine can do, by threads.
        rows: what was measured.
        resources: memory and loading of each candidate.
        skipped: what was not.
        seconds: how long it all took.
    """

    bundle: Mapping[str, str]
    created: str
    request: Mapping[str, Any]
    machine: Mapping[str, Any]
    ceilings: tuple[Ceilings, ...]
    rows: tuple[Row, ...]
    resources: tuple[Taken, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    seconds: float = field(default=0.0)

    @property
    def passed(self) -> bool:
        """Whether every variant of the bundle ran and agreed with the reference."""
        return not any(one.failed for one in self.skipped) and not any(
            row.spec.engine == "rnnx" and not row.agreement.agrees for row in self.rows
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "bundle": dict(self.bundle),
            "created": self.created,
            "seconds": self.seconds,
            "request": dict(self.request),
            "machine": dict(self.machine),
            "ceilings": [one.to_json() for one in self.ceilings],
            "rows": [row.to_json() for row in self.rows],
            "resources": [one.to_json() for one in self.resources],
            "skipped": [one.to_json() for one in self.skipped],
            "passed": self.passed,
        }


def finite(number: float) -> float | None:
    """The number, or None where it is infinite or none at all: JSON has no word for those."""
    return number if abs(number) < float("inf") else None
