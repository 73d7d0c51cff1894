"""A benchmark as one page: nothing is loaded from anywhere, so that it can be mailed, archived and read in years."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from .charts import error_plots, latency_plots, looks, ratio_plots, roofline_plots
from .intervals import RESAMPLES, interval_text
from .svg import mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .charts import Look

_STYLE = """
body { font: 15px/1.5 "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif; color: #1c1c1c;
  background: #fff; max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 40px 0 6px; }
h3 { font-size: 15px; margin: 20px 0 4px; }
p { margin: 4px 0 10px; max-width: 76em; } .quiet { color: #5a5a5a; } .bad { color: #a11212; font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 20px 28px; } svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: 4px 0 14px; }
th, td { padding: 3px 10px 3px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 1px solid #8a8a8a; font-weight: 600; vertical-align: bottom; white-space: normal; }
td.left, th.left { text-align: left; }
td { font-variant-numeric: tabular-nums; } tr.own td.left:first-child { font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 4px 0 12px; font-size: 13px; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
svg text { font-size: 12px; fill: #1c1c1c; } svg .title { font-weight: 600; font-size: 13px; }
svg .tick, svg .label { fill: #5a5a5a; } svg .own { font-weight: 600; }
svg .value { font-variant-numeric: tabular-nums; }
svg .grid { stroke: #ececec; } svg .axis { stroke: #8a8a8a; } svg .one { stroke: #1c1c1c; stroke-dasharray: 4 3; }
svg .whisker { stroke: #1c1c1c; stroke-width: 1.3; } svg .roof { stroke: #8a8a8a; stroke-width: 1.4; }
svg .roofname { fill: #5a5a5a; font-size: 11px; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
"""


def page(report: Mapping[str, Any]) -> str:
    """The page as HTML that is also well-formed XML."""
    rows = report["rows"]
    drawn = looks(rows)
    name = escape(report["bundle"]["name"])
    sections = [
        f"<h1>Benchmark of {name}</h1>",
        _machine(report),
        _verdict(report),
        _plots("How many times as fast", _RATIOS, ratio_plots(rows, drawn)),
        _plots("Latency against time steps", _LATENCY, latency_plots(rows, drawn, "time"), drawn),
        _plots("Latency against batch", _LATENCY, latency_plots(rows, drawn, "batch"), drawn),
        _plots("Speed against error", _ERROR, error_plots(rows, drawn), drawn),
        _plots("Roofline", _ROOFLINE, roofline_plots(rows, report["ceilings"], drawn), drawn),
        _comparison(report),
        "<h2>All rows</h2>",
        _rows(rows),
        _resources(report["resources"]),
        _how(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Benchmark of {name}</title><style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


_RATIOS = "Median latency of the reference over that of the candidate: longer is faster. Whiskers are 95% intervals."
_LATENCY = "Medians; both axes are logarithmic, lower is faster."
_ERROR = (
    "Higher is faster, further left is nearer to the reference's answer. A hollow mark is beyond the tolerance of its "
    "precision."
)
_ROOFLINE = (
    "Both axes are logarithmic. Bytes are those that cannot be avoided: inputs, outputs, each weight once, and the "
    "recurrent weights again in every step. A row's fraction of its limit, in the table below, takes the bytes from "
    "where they really come. Peers are held against the operations and bytes of the bundle's fp32 graph, whatever they "
    "compute in."
)


def _machine(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    caches = ", ".join(f"{level} {size} KiB" for level, size in machine["caches_kib"].items())
    facts = {
        "processor": f"{machine['cpu']}, {machine['cores']} cores used (affinity {machine['affinity']}); {caches}",
        "instruction sets": " ".join(machine["flags"]) or "not told",
        "governor": machine["governor"] or "not told",
        "GPU": machine["gpu"] or "none",
        "memory": "not told" if machine["memory_gib"] is None else f"{machine['memory_gib']} GiB",
        "system": f"{machine['system']}, load before {machine['load_before']}",
        "thread settings": ", ".join(f"{key}={value}" for key, value in machine["environment"].items()) or "none",
        "versions": ", ".join(f"{key} {value}" for key, value in machine["versions"].items()),
        "bundle": f"{report['bundle']['path']}, SHA-256 {report['bundle']['sha256'][:16]}…",
        "measured": f"{report['created']}, {report['seconds']:.0f} s",
    }
    lines = "".join(
        f'<tr><td class="left quiet">{escape(key)}</td><td class="left">{escape(value)}</td></tr>'
        for key, value in facts.items()
    )
    return f'<div class="wide"><table>{lines}</table></div>'


def _verdict(report: Mapping[str, Any]) -> str:
    rows = report["rows"]
    lines = []
    for name in dict.fromkeys(row["candidate"] for row in rows):
        own = [row for row in rows if row["candidate"] == name]
        wrong = [row for row in own if not row["agreement"]["agrees"]]
        if wrong:
            told = f"{name} is beyond the tolerance of the reference's answers in {len(wrong)} of {len(own)} rows."
            lines.append(f'<p class="bad">{escape(told)}</p>')
    busy = sum(row["disturbed"] for row in rows)
    if busy:
        told = f"The machine was busy: in {busy} of {len(rows)} rows other processes took cores away (see their notes)."
        lines.append(f'<p class="bad">{told}</p>')
    lines += [
        f"<p>Not measured: {escape(one['candidate'])} ({escape(one['where'])}): {escape(one['reason'])}</p>"
        for one in report["skipped"]
    ]
    return "".join(lines)


def _plots(title: str, explained: str, plots: Sequence[str], drawn: Mapping[str, Look] | None = None) -> str:
    if not plots:
        return ""
    legend = ""
    if drawn:
        keys = (
            f'<span><svg width="14" height="14">{mark(7, 7, colour=look.colour, form=look.form, title=name)}</svg>'
            f"{escape(name)}</span>"
            for name, look in drawn.items()
        )
        legend = f'<div class="legend">{"".join(keys)}</div>'
    return f'<h2>{title}</h2><p class="quiet">{explained}</p>{legend}<div class="plots">{"".join(plots)}</div>'


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    timed = any(row["real_time_factor"] is not None for row in rows)
    energy = any(row["joules"] is not None for row in rows)
    headers = ["candidate", "p50 ms", "p95 ms", "p99 ms", "spread", "runs", "sequences/s", "frames/s"]
    headers += ["real-time factor"] * timed + ["energy mJ"] * energy
    headers += ["times as fast", "max_abs_diff", "SQNR dB", "of the limit", "limit", "note"]
    tables = []
    for cell in dict.fromkeys(row["key"].partition(" | ")[2] for row in rows):
        lines = []
        for row in (one for one in rows if one["key"].partition(" | ")[2] == cell):
            latency, ratio, agreed, bound = row["latency_ms"], row["ratio"], row["agreement"], row["roofline"]
            line = [row["candidate"], *(f"{latency[key]:.4g}" for key in ("p50", "p95", "p99"))]
            line += [f"{latency['spread']:.0%}", str(latency["runs"])]
            line += [f"{row['sequences_per_s']:,.0f}", f"{row['frames_per_s']:,.0f}"]
            line += [_or_dash(row["real_time_factor"], ".3g")] * timed
            line += [_or_dash(row["joules"], ".3g", 1e3)] * energy
            line.append("reference" if row["is_reference"] else interval_text(**ratio))
            equal = agreed["max_abs_diff"] == 0
            line += [_or_dash(agreed["max_abs_diff"], ".1e"), _or_dash(agreed["sqnr_db"], ".0f")]
            line[-2:] = ["equal", "-"] if equal else line[-2:]
            line += ["-", "-"] if bound is None else [f"{bound['fraction']:.0%}", bound["limit"]]
            line.append("; ".join(_remarks(row)))
            lines.append((line, row["engine"] == "rnnx"))
        tables.append(f"<h3>{escape(cell)}</h3>{_table(headers, lines)}")
    return "".join(tables)


def _remarks(row: Mapping[str, Any]) -> Iterable[str]:
    if not row["agreement"]["agrees"]:
        yield f"beyond tolerance {row['agreement']['reason']}".strip()
    if not row["warm_up"]["stable"]:
        yield "did not settle"
    if row["disturbed"]:
        yield f"{row['preempted']:.2g} preemptions a run"
    if row["note"]:
        yield row["note"]


def _resources(taken: Sequence[Mapping[str, Any]]) -> str:
    if not taken:
        return ""
    headers = ["candidate", "mode", "threads", "import ms", "load ms", "first run ms"]
    headers += ["resident MiB", "peak MiB", "own MiB", "disk MiB"]
    lines = [
        (
            [
                one["candidate"],
                one["mode"],
                str(one["threads"]),
                *(f"{one[key]:.4g}" for key in ("import_ms", "load_ms", "first_ms")),
                *(_or_dash(one[key], ".0f") for key in ("resident_mib", "peak_mib", "own_mib")),
                _or_dash(one["disk_bytes"], ".2f", 1 / 2**20),
            ],
            one["engine"] == "rnnx",
        )
        for one in taken
    ]
    told = (
        "Each in a process of its own, at the largest size. Own memory is what came with the model, after the import."
    )
    return f'<h2>Loading and memory</h2><p class="quiet">{told}</p>{_table(headers, lines)}'


def _comparison(report: Mapping[str, Any]) -> str:
    found = report.get("comparison")
    if found is None:
        return ""
    headers = ["row", "then ms", "now ms", "now / then", "by", "verdict"]
    lines = []
    for one in found["changes"]:
        change = one["change"]
        interval = interval_text(**change)
        by = f"relative to {one['against']}" if one["against"] else "milliseconds"
        cells = [one["key"], f"{one['old_ms']:.4g}", f"{one['new_ms']:.4g}", interval, by, one["verdict"]]
        lines.append((cells, False))
    notes = "".join(f"<p>{escape(note)}</p>" for note in found["notes"])
    return f"<h2>Against the earlier benchmark</h2>{notes}{_table(headers, lines)}"


def _how(report: Mapping[str, Any]) -> str:
    energy = any(row["joules"] is not None for row in report["rows"])
    told = (
        "Candidates ran in one process, in turns of a few milliseconds, in rounds of an order drawn anew each time; "
        "every turn of short runs began with one that was not counted, and, with several threads, after those of the "
        "candidate before had stopped spinning. Ratios are of medians, their intervals by "
        f"{RESAMPLES:,} resamplings of whole rounds. The ceilings are the best of many products through ONNX Runtime, "
        "and the best of NumPy's copies and one-row products. "
    )
    told += "Energy is that of whole processor packages." if energy else "Energy: the machine does not tell."
    return f"<h2>How it was measured</h2><p>{told}</p>"


def _table(headers: Sequence[str], lines: Iterable[tuple[Sequence[str], bool]]) -> str:
    left = {index for index, header in enumerate(headers) if header in _TEXTS}
    head = "".join(f"<th{_left(index in left)}>{escape(one)}</th>" for index, one in enumerate(headers))
    body = "".join(
        f"<tr{' class=' + chr(34) + 'own' + chr(34) if own else ''}>"
        + "".join(f"<td{_left(index in left)}>{escape(cell)}</td>" for index, cell in enumerate(cells))
        + "</tr>"
        for cells, own in lines
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


#: Columns of words; the others are of numbers.
_TEXTS = frozenset({"candidate", "mode", "limit", "note", "row", "by", "verdict"})


def _left(whether: bool) -> str:  # noqa: FBT001  (one word to say)
    return ' class="left"' if whether else ""


def _or_dash(value: float | None, form: str, factor: float = 1.0) -> str:
    return "-" if value is None else format(value * factor, form)
