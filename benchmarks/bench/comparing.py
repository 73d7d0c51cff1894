"""Whether a benchmark is slower than an earlier one beyond noise.

A machine is not today what it was yesterday. So a row is compared by its ratio to bare ONNX Runtime, or another peer,
that was measured beside it both times: what changed for both cancels out. Only where there was no such peer are the
milliseconds themselves compared, and only on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from .candidates import OWN
from .intervals import Ratio, independent_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Data = Mapping[str, Any]

#: Changes below this are not told apart from noise between two processes: where memory lies, which core one is on.
THRESHOLD = 0.05

SLOWER, FASTER, SAME = "SLOWER", "faster", "same"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One row, then and now.

    Attributes:
        key: which row.
        candidate: its candidate.
        old_ms: median then, in milliseconds.
        new_ms: median now.
        change: duration now over duration then, above 1 where it is slower.
        against: the peer whose own change was taken out, or empty where milliseconds were compared.
        beyond: how far from 1 the whole interval must be to count, relative.
        verdict: ``SLOWER``, ``faster`` or ``same``.
    """

    key: str
    candidate: str
    old_ms: float
    new_ms: float
    change: Ratio
    against: str
    beyond: float
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "key": self.key,
            "old_ms": self.old_ms,
            "new_ms": self.new_ms,
            "change": self.change.to_json(),
            "against": self.against,
            "beyond": self.beyond,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two benchmarks side by side.

    Attributes:
        changes: rows of the bundle's variants that both have.
        missing: rows that only the earlier one has.
        wrong: rows that agreed with the reference then and do not now.
        notes: what a reader must know: another machine, another version.
    """

    changes: tuple[Change, ...]
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Rows that are slower beyond noise."""
        return tuple(one for one in self.changes if one.verdict == SLOWER)

    @property
    def passed(self) -> bool:
        """Whether nothing is slower, and nothing wrong that was right."""
        return not self.regressions and not self.wrong

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "passed": self.passed,
            "changes": [one.to_json() for one in self.changes],
            "missing": list(self.missing),
            "wrong": list(self.wrong),
            "notes": list(self.notes),
        }


def compare_reports(old: Data, new: Data, *, threshold: float = THRESHOLD, seed: int = 0) -> Comparison:
    """Compare two benchmarks, each as its JSON.

    Args:
        old: the earlier one.
        new: the later one.
        threshold: smallest relative change that counts.
        seed: of the resampling.

    Raises:
        InputError: they have no row in common that can be compared.
    """
    before, after = ({row["key"]: row for row in data["rows"] if row["engine"] == OWN} for data in (old, new))
    common = [key for key in after if key in before]
    notes, elsewhere = _notes(old, new)
    peers_before, peers_after = _peers(old), _peers(new)
    changes = []
    for key in common:
        cell = key.partition(" | ")[2]
        name, then = peers_before.get(cell, ("", None))
        name_now, now = peers_after.get(cell, ("", None))
        if then is None or now is None or name != name_now:
            if elsewhere:
                continue
            name, then, now = "", None, None
        changes.append(_change(before[key], after[key], then, now, against=name, threshold=threshold, seed=seed))
    if not changes:
        why = notes[0] if common and notes else "they measured other things"
        raise InputError(
            f"the two benchmarks have nothing that can be compared: {why}. Measure both with the same options, and "
            "with --peers onnxruntime where the machines differ."
        )
    return Comparison(
        changes=tuple(changes),
        missing=tuple(key for key in before if key not in after),
        wrong=tuple(
            key for key in common if before[key]["agreement"]["agrees"] and not after[key]["agreement"]["agrees"]
        ),
        notes=notes,
    )


def _peers(data: Data) -> dict[str, tuple[str, Data]]:
    """The reference of each cell where it is a peer: its name and its row."""
    return {
        row["key"].partition(" | ")[2]: (row["candidate"], row)
        for row in data["rows"]
        if row["is_reference"] and row["engine"] != OWN
    }


def _change(
    before: Data, after: Data, then: Data | None, now: Data | None, *, against: str, threshold: float, seed: int
) -> Change:
    old, new = _rounds(before), _rounds(after)
    noise = before["noise"] + after["noise"]
    if then is not None and now is not None:
        # Round by round: what slowed one down slowed the other.
        old, new = _by_round(old, _rounds(then)), _by_round(new, _rounds(now))
    change = independent_ratio(new, old, seed=seed)
    beyond = max(threshold, noise)
    verdict = SLOWER if change.low > 1 + beyond else FASTER if change.high < 1 / (1 + beyond) else SAME
    return Change(
        key=after["key"],
        candidate=after["candidate"],
        old_ms=before["latency_ms"]["p50"],
        new_ms=after["latency_ms"]["p50"],
        change=change,
        against=against,
        beyond=beyond,
        verdict=verdict,
    )


def _rounds(row: Data) -> NDArray[np.float64]:
    return np.asarray(row["rounds_ms"], np.float64)


def _by_round(own: NDArray[np.float64], peer: NDArray[np.float64]) -> NDArray[np.float64]:
    rounds = min(own.size, peer.size)
    return own[:rounds] / peer[:rounds]


def _notes(old: Data, new: Data) -> tuple[tuple[str, ...], bool]:
    """What differs between the two, and whether the machine does."""
    then, now = old["machine"], new["machine"]
    differing = [name for name in ("cpu", "flags", "cores", "affinity") if then.get(name) != now.get(name)]
    notes = []
    if differing:
        notes.append(
            f"the machines differ ({', '.join(differing)}): {then.get('cpu')} with {then.get('cores')} cores then, "
            f"{now.get('cpu')} with {now.get('cores')} now"
        )
    for name in sorted(then.get("versions", {}).keys() | now.get("versions", {}).keys()):
        versions = then["versions"].get(name), now["versions"].get(name)
        if versions[0] != versions[1]:
            notes.append(f"{name} {versions[0] or 'absent'} then, {versions[1] or 'absent'} now")
    if old["bundle"].get("sha256") != new["bundle"].get("sha256"):
        notes.append("the bundles differ")
    return tuple(notes), bool(differing)
