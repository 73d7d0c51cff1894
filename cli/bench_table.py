"""A benchmark as text for a terminal: a table a cell, then resources, ceilings and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .table import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..benchmarks.bench.comparing import Comparison
    from ..benchmarks.bench.report import Report, Row


def bench_text(report: Report) -> str:
    """The whole report."""
    cells = dict.fromkeys(str(row.cell) for row in report.rows)
    parts = [_machine(report)]
    parts += [f"{cell}\n{_cell([row for row in report.rows if str(row.cell) == cell])}" for cell in cells]
    if report.resources:
        parts.append(f"each in a process of its own\n{_resources(report)}")
    if report.skipped:
        parts.append("\n".join(f"not measured: {one.candidate} ({one.where}): {one.reason}" for one in report.skipped))
    busy = sum(row.disturbed for row in report.rows)
    if busy:
        parts.append(f"the machine was busy: in {busy} of {len(report.rows)} rows other processes took cores away")
    parts.append(f"{len(report.rows)} rows in {report.seconds:.0f} s")
    return "\n\n".join(parts)


def comparison_text(comparison: Comparison) -> str:
    """What changed since an earlier benchmark."""
    rows = [
        (
            one.key,
            milliseconds(one.old_ms),
            milliseconds(one.new_ms),
            str(one.change),
            f"relative to {one.against}" if one.against else "milliseconds",
            one.verdict,
        )
        for one in comparison.changes
    ]
    lines = [table(("compared with the earlier benchmark", "then ms", "now ms", "now / then", "by", "verdict"), rows)]
    lines += [f"note: {one}" for one in comparison.notes]
    lines += [f"no longer measured: {one}" for one in comparison.missing]
    lines += [f"NO LONGER AGREES with the reference: {one}" for one in comparison.wrong]
    slower = len(comparison.regressions)
    lines.append(
        f"{len(rows)} rows compared, {f'{slower} SLOWER beyond noise' if slower else 'none slower beyond noise'}."
    )
    return "\n".join(lines)


def milliseconds(value: float) -> str:
    """Four digits: ``0.05723``, ``1.122``, ``310.4``."""
    return f"{value:.4g}" if value < 10000 else f"{value:.0f}"


def _machine(report: Report) -> str:
    machine = report.machine
    versions = machine["versions"]
    engines = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"{report.bundle['name']} on {machine['cpu']}, {machine['cores']} cores; {engines}"]
    for one in report.ceilings:
        levels = ", ".join(f"{level.name} {level.gb_per_s:.0f} GB/s" for level in one.levels)
        lines.append(
            f"ceilings, {one.threads} thread{'s' * (one.threads > 1)}: float32 {one.float_gops:.0f} GOP/s, "
            f"int8 {one.int8_gops:.0f} GOP/s, {levels}"
        )
    return "\n".join(lines)


def _cell(rows: list[Row]) -> str:
    timed = any(row.real_time_factor is not None for row in rows)
    energy = any(row.joules is not None for row in rows)
    headers = ["candidate", "p50 ms", "p95", "p99", "spread", "sequences/s", "frames/s"]
    headers += ["real-time factor"] * timed + ["mJ"] * energy
    headers += ["times as fast", "max_abs_diff", "of the limit", "limit", "note"]
    lines = []
    for row in rows:
        one = row.latency
        line = [row.spec.name, *map(milliseconds, (one.p50, one.p95, one.p99)), f"{one.spread:.0%}"]
        line += [_rate(row.sequences_per_s), _rate(row.frames_per_s)]
        line += [f"{row.real_time_factor:.3g}" if row.real_time_factor is not None else "-"] * timed
        line += [f"{row.joules * 1e3:.3g}" if row.joules is not None else "-"] * energy
        line += ["reference" if row.is_reference else str(row.ratio), f"{row.agreement.max_abs_diff:.1e}"]
        bound = row.roofline
        line += ["-", "-"] if bound is None or bound.fraction is None else [f"{bound.fraction:.0%}", bound.limit]
        line.append("; ".join(_remarks(row)))
        lines.append(line)
    return table(headers, lines)


def _remarks(row: Row) -> Iterable[str]:
    if not row.agreement.agrees:
        yield f"DISAGREES{f' ({row.agreement.reason})' if row.agreement.reason else ''}"
    if not row.warm_up.stable:
        yield "did not settle"
    if row.disturbed:
        yield f"{row.preempted:.2g} preemptions a run"
    if row.note:
        yield row.note


def _resources(report: Report) -> str:
    rows = []
    for one in report.resources:
        found = one.resources
        memory = [
            f"{value:.0f}" if value is not None else "-"
            for value in (found.resident_mib, found.peak_mib, found.own_mib)
        ]
        disk = "-" if found.disk_bytes is None else f"{found.disk_bytes / 2**20:.2f}"
        times = [milliseconds(value) for value in (found.import_ms, found.load_ms, found.first_ms)]
        rows.append((one.spec.name, one.spec.mode, one.spec.threads, *times, *memory, disk))
    headers = ("candidate", "mode", "threads", "import ms", "load ms", "first run ms")
    return table((*headers, "resident MiB", "peak MiB", "own MiB", "disk MiB"), rows)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
