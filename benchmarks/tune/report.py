"""What a tuning is asked for, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...tuned import OBJECTIVES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ...tuned import Tuned
    from ..bench.intervals import Latency, Ratio
    from .losses import MaxLoss
    from .setups import Setup

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneRequest:
    """What to tune, and for what.

    Attributes:
        bundle: path of the bundle.
        objective: out of :data:`rnnx.tuned.OBJECTIVES`.
        batch: rows of a batch; None for 1, or the model's own fixed batch.
        time: steps of a sequence, in streaming mode of a chunk; None for 1, or the fewest that the model takes.
        mode: ``offline`` or ``streaming``.
        provider: execution provider.
        threads: threads within one operator; empty for 1, 2, 4 and so on to one for each core.
        precisions: of variants to try; empty for all.
        forms: whether other forms of the graphs are made and tried; one that wins is added to the bundle.
        max_loss: how much a variant may lose; None where what it was made within is enough.
        data: real arrays by input name in place of random ones, and of golden vectors where a loss is measured.
        sizes: of dynamic axes other than batch and time.
        seconds: time for the runs of each setup in the final.
        seed: of random inputs and resampling.
        dry_run: whether nothing is kept in the bundle.
    """

    bundle: str
    objective: str
    batch: int | None = None
    time: int | None = None
    mode: str = "offline"
    provider: str = "cpu"
    threads: tuple[int, ...] = ()
    precisions: tuple[str, ...] = ()
    forms: bool = False
    max_loss: MaxLoss | None = None
    data: Mapping[str, NDArray[Any]] | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 1.0
    seed: int = 0
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneRow:
    """One setup.

    Attributes:
        setup: which.
        latency: of its runs; None where it was refused.
        throughput: sequences in a second, of calls that follow each other one at a time; None where it was refused.
        ratio: how many times better it was than the default beside it; None where it was refused.
        loss: what its variant loses against fp32, for people.
        verdict: ``chosen``, ``default``, or why not.
    """

    setup: Setup
    latency: Latency | None
    throughput: float | None
    ratio: Ratio | None
    loss: str
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "setup": self.setup.name,
            "precision": self.setup.precision,
            "form": self.setup.form,
            "threads": self.setup.threads,
            "session_options": dict(self.setup.session_options),
            "provider_options": dict(self.setup.provider_options),
            "latency_ms": None if self.latency is None else self.latency.to_json(),
            "sequences_per_s": self.throughput,
            "ratio": None if self.ratio is None else self.ratio.to_json(),
            "loss": self.loss,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneReport:
    """What a tuning found.

    Attributes:
        bundle: path, name and SHA-256 of the bundle.
        entry: what is kept, or would be.
        kept: whether it was written to the bundle.
        is_default: whether nothing beat the default.
        rows: every setup, the default first.
        noise: how far two sessions of the default were apart, relative.
        disturbed: whether the machine was so busy that nothing could be told, for which nothing is kept.
        machine: as a benchmark tells it.
        seconds: how long it took.
    """

    bundle: Mapping[str, str]
    entry: Tuned
    kept: bool
    is_default: bool
    rows: tuple[TuneRow, ...]
    noise: float
    disturbed: bool
    machine: Mapping[str, Any]
    seconds: float = 0.0

    @property
    def summary(self) -> str:
        """For people: what was chosen, and why."""
        entry, unit = self.entry, OBJECTIVES[self.entry.objective]
        if self.is_default:
            told = f"nothing beat the default beyond noise: {entry.precision} as rnnx.load(path) has it"
            told += f" ({entry.measured.default:.4g} {unit})"
        else:
            graph = " ".join([entry.precision, *([entry.form] if entry.form else [])])
            told = (
                f"{graph}, {entry.settings}: {entry.measured.tuned:.4g} {unit}, the default "
                f"{entry.measured.default:.4g}, {entry.measured.ratio:.2f} times better "
                f"[{entry.measured.low:.2f}, {entry.measured.high:.2f}]"
            )
        end = "kept in the manifest" if self.kept else "not kept"
        if self.disturbed:
            end += (
                f": two equal sessions differ by {self.noise:.0%}, so other processes decide here. Tune again when the "
                "machine is quiet"
            )
        return f"{entry.label} {entry.mode} on {entry.machine}, {entry.provider}: {told}; {end}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "schema": "rnnx-tune",
            "schema_version": SCHEMA_VERSION,
            "bundle": dict(self.bundle),
            "entry": self.entry.to_json(),
            "kept": self.kept,
            "is_default": self.is_default,
            "noise": self.noise,
            "disturbed": self.disturbed,
            "rows": [one.to_json() for one in self.rows],
            "machine": dict(self.machine),
            "seconds": self.seconds,
        }
