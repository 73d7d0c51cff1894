"""The parity matrix as a table for people: a line a case, a column an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .table import table

if TYPE_CHECKING:
    from ..exporters.parity import ParityReport, Row


def parity_table(report: ParityReport) -> str:
    """Every case with the largest absolute difference of each output, and a line that sums them up."""
    outputs = list(dict.fromkeys(row.output for row in report.rows))
    cases: dict[str, dict[str, Row]] = {}
    for row in report.rows:
        cases.setdefault(row.case, {})[row.output] = row
    lines = []
    for by_output in cases.values():
        first = next(iter(by_output.values()))
        kinds = [one for one in (first.lengths, first.states, first.chunks) if one]
        differences = [by_output[name].max_abs_diff for name in outputs]
        passed = all(row.passed for row in by_output.values())
        reason = "; ".join(dict.fromkeys(row.reason for row in by_output.values() if row.reason))
        lines.append([*first.sizes.values(), *kinds, *differences, "pass" if passed else f"MISS {reason}".rstrip()])
    if not lines:
        return f"{report.variant}: the source answers none of the {len(report.undefined)} cases."
    kind_headers = [name for name, one in _kinds(first) if one]
    headers = [*first.sizes, *kind_headers, *outputs, "result"]
    worst = max(row.max_abs_diff for row in report.rows)
    missed = sum(line[-1] != "pass" for line in lines)
    undefined = f", {len(report.undefined)} refused by the source itself" if report.undefined else ""
    undefined += f", {len(report.undecided)} not compared because rounding decides them" if report.undecided else ""
    verdict = "all pass" if not missed else f"{missed} MISS"
    return (
        f"{table(headers, lines)}\n"
        f"{report.variant}: {len(lines)} cases{undefined}, {verdict}; max_abs_diff {worst:.1e}, "
        f"tolerance {report.tolerance.atol:g} of each output's magnitude"
    )


def _kinds(row: Row) -> tuple[tuple[str, str], ...]:
    return ("lengths", row.lengths), ("states", row.states), ("chunks", row.chunks)
