"""The plots of a benchmark's page, from its JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .intervals import interval_text
from .svg import (
    BOTTOM,
    COLOURS,
    FORMS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    canvas,
    line,
    linear_scale,
    log_scale,
    mark,
    number,
    path,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

_X = (LEFT + 8.0, WIDTH - RIGHT - 8.0)
_Y = (HEIGHT - BOTTOM - 6.0, TOP + 6.0)
_BAR, _GAP, _NAMES = 15, 9, 132


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How a candidate is drawn, the same in every plot.

    Attributes:
        colour: of its marks.
        form: of its marks.
        own: whether it is a variant of the bundle, which is drawn stronger.
    """

    colour: str
    form: str
    own: bool


def looks(rows: Sequence[Row]) -> dict[str, Look]:
    """A look for each candidate."""
    named = {row["candidate"]: row["engine"] == "rnnx" for row in rows}
    return {
        name: Look(colour=COLOURS[index % len(COLOURS)], form=FORMS[index % len(FORMS)], own=own)
        for index, (name, own) in enumerate(named.items())
    }


def latency_plots(rows: Sequence[Row], drawn: Mapping[str, Look], along: str) -> list[str]:
    """Median latency along ``time`` or ``batch``, a plot for each setting of the rest with more than one size."""
    other = "batch" if along == "time" else "time"
    plots = []
    for (mode, threads, fixed), group in _grouped(rows, lambda row: (row["mode"], row["threads"], row[other])):
        sizes = sorted({row[along] for row in group})
        if len(sizes) < 2:
            continue
        medians = [row["latency_ms"]["p50"] for row in group]
        frame = Frame(
            title=f"{mode}, {other} {fixed}, {_threads(threads)}",
            x=log_scale(sizes, *_X, marked=sizes),
            y=log_scale(medians, *_Y),
            x_label="time steps" if along == "time" else "batch (rows)",
            y_label="latency p50 (ms)",
        )
        # The bundle's own last, so that no peer covers them.
        for name, own in sorted(_grouped(group, lambda row: (row["candidate"],)), key=lambda one: drawn[one[0][0]].own):
            look = drawn[name[0]]
            ordered = sorted(own, key=lambda row: row[along])
            places = [(frame.x(row[along]), frame.y(row["latency_ms"]["p50"])) for row in ordered]
            frame.parts.append(path(places, colour=look.colour, width=2.6 if look.own else 1.4))
            for (x, y), row in zip(places, ordered, strict=True):
                frame.parts.append(mark(x, y, colour=look.colour, form=look.form, title=told(row)))
        plots.append(frame.svg())
    return plots


def ratio_plots(rows: Sequence[Row], drawn: Mapping[str, Look]) -> list[str]:
    """How many times as fast as the reference each candidate is, with its interval; a plot for each cell."""
    plots = []
    for _, group in _grouped(rows, lambda row: (row["key"].partition(" | ")[2],)):
        cell = group[0]["key"].partition(" | ")[2]
        reference = next(row["candidate"] for row in group if row["is_reference"])
        height = TOP + len(group) * (_BAR + _GAP) + BOTTOM
        bottom = height - BOTTOM
        left, right = _NAMES, WIDTH - 130
        scale = linear_scale(max(1.0, *(row["ratio"]["high"] for row in group)), left, right)
        parts = [text(8, 18, cell, style="title")]
        for tick in scale.ticks:
            if tick <= scale.high:
                parts.append(line(scale(tick), TOP, scale(tick), bottom, style="grid"))
                parts.append(text(scale(tick), bottom + 16, number(tick), anchor="middle", style="tick"))
        for index, row in enumerate(group):
            look, ratio = drawn[row["candidate"]], row["ratio"]
            y = TOP + 6 + index * (_BAR + _GAP)
            middle = y + _BAR / 2
            parts.append(
                text(left - 8, middle + 4, row["candidate"], anchor="end", style="own" if look.own else "name")
            )
            wide = scale(ratio["value"]) - left
            parts.append(f'<rect x="{left}" y="{y}" width="{wide:.1f}" height="{_BAR}" fill="{look.colour}"/>')
            low, high = scale(ratio["low"]), scale(ratio["high"])
            parts.append(line(low, middle, high, middle, style="whisker"))
            parts += [line(end, middle - 4, end, middle + 4, style="whisker") for end in (low, high)]
            told_ratio = "reference" if row["is_reference"] else _interval(ratio)
            parts.append(text(WIDTH - 4, middle + 4, told_ratio, anchor="end", style="value"))
        parts.append(line(scale(1), TOP, scale(1), bottom, style="one"))
        label = f"times as fast as {reference} (95% interval)"
        parts.append(text((left + right) / 2, height - 10, label, anchor="middle", style="label"))
        plots.append(canvas("".join(parts), f"{cell}: {label}", height))
    return plots


def error_plots(rows: Sequence[Row], drawn: Mapping[str, Look]) -> list[str]:
    """Speed against error: how far each answer is from the reference's, a plot for each mode and number of threads."""
    plots = []
    for (mode, threads), group in _grouped(rows, lambda row: (row["mode"], row["threads"])):
        shown = [row for row in group if not row["is_reference"] and row["agreement"]["max_abs_diff"] is not None]
        errors = [row["agreement"]["max_abs_diff"] for row in shown]
        positive = [one for one in errors if one]
        if not positive:
            continue
        # Equal answers have no logarithm: they stand at the left end.
        least = min(positive) / 10
        ratios = [row["ratio"]["value"] for row in shown]
        frame = Frame(
            title=f"{mode}, {_threads(threads)}, all sizes",
            x=log_scale([least, *positive], *_X),
            y=log_scale([1.0, *ratios], *_Y),
            x_label="max_abs_diff to the reference's outputs (left end: equal)",
            y_label="times as fast",
        )
        frame.parts.append(line(LEFT, frame.y(1), WIDTH - RIGHT, frame.y(1), style="one"))
        for row, error in zip(shown, errors, strict=True):
            look, agrees = drawn[row["candidate"]], row["agreement"]["agrees"]
            x, y = frame.x(error or least), frame.y(row["ratio"]["value"])
            frame.parts.append(mark(x, y, colour=look.colour, form=look.form, title=told(row), hollow=not agrees))
        plots.append(frame.svg())
    return plots


def roofline_plots(rows: Sequence[Row], ceilings: Iterable[Mapping[str, Any]], drawn: Mapping[str, Look]) -> list[str]:
    """Each row under the ceilings of its number of threads: operations a second over operations for each byte."""
    plots = []
    for one in ceilings:
        shown = [row for row in rows if row["threads"] == one["threads"] and row["roofline"] is not None]
        if not shown:
            continue
        points = [(row["roofline"]["intensity"], _gops(row)) for row in shown]
        peaks = {"float32": one["float_gops"], "int8": one["int8_gops"]}
        levels = one["levels"]
        highest = max(peaks.values())
        ridge = one["float_gops"] / levels[-1]["gb_per_s"]
        xs = [*(x for x, _ in points), ridge * 2]
        x = log_scale(xs, *_X)
        y = log_scale([*(value for _, value in points), highest * 1.3], *_Y)
        frame = Frame(
            title=f"{_threads(one['threads'])}",
            x=x,
            y=y,
            x_label="operations for each byte that must be read (OP/B)",
            y_label="reached (GOP/s)",
        )
        diagonals = [_diagonal(frame, level["name"], level["gb_per_s"], highest) for level in levels]
        frame.parts.extend(line(LEFT, y(peak), WIDTH - RIGHT, y(peak), style="roof") for peak in peaks.values())
        frame.parts.extend(drawn_line for drawn_line, _ in diagonals)
        order = sorted(zip(points, shown, strict=True), key=lambda one: drawn[one[1]["candidate"]].own)
        for (intensity, reached), row in order:
            look = drawn[row["candidate"]]
            frame.parts.append(mark(x(intensity), y(reached), colour=look.colour, form=look.form, title=told(row)))
        # Names last, and where nothing can be: above a roof at the left, and beside a diagonal's upper end.
        frame.parts.extend(
            text(LEFT + 6, y(peak) - 5, f"{name} {peak:.0f} GOP/s", style="roofname") for name, peak in peaks.items()
        )
        frame.parts.extend(name for _, name in diagonals)
        plots.append(frame.svg())
    return plots


def told(row: Row) -> str:
    """What is shown when the pointer rests on a mark."""
    parts = [row["key"], f"p50 {row['latency_ms']['p50']:.4g} ms, p99 {row['latency_ms']['p99']:.4g} ms"]
    parts += [] if row["is_reference"] else [f"{_interval(row['ratio'])} times as fast as the reference"]
    error = row["agreement"]["max_abs_diff"]
    parts.append("answers cannot be compared" if error is None else f"max_abs_diff {error:.1e}")
    bound = row["roofline"]
    if bound is not None:
        parts.append(f"{bound['fraction']:.0%} of the limit by {bound['limit']}, {_gops(row):.3g} GOP/s")
    return "\n".join(parts)


def _diagonal(frame: Frame, name: str, gb_per_s: float, highest: float) -> tuple[str, str]:
    """The line of one level's bandwidth within the frame, and its name along it."""
    x, y = frame.x, frame.y
    low = max(x.low, y.low / gb_per_s)
    high = min(x.high, highest / gb_per_s)
    if low >= high:
        return "", ""
    first, last = (x(low), y(low * gb_per_s)), (x(high), y(high * gb_per_s))
    angle = math.degrees(math.atan2(last[1] - first[1], last[0] - first[0]))
    # Below the line, and a little down from where it meets the roof.
    back = 14
    at = (last[0] - back + 6, last[1] - back * math.tan(math.radians(angle)) + 11)
    named = text(*at, f"{name} {gb_per_s:.0f} GB/s", anchor="end", style="roofname", turn=angle)
    return line(*first, *last, style="roof"), named


def _gops(row: Row) -> float:
    bound = row["roofline"]
    reached: float = (bound["float_ops"] + bound["int8_ops"]) / row["latency_ms"]["p50"] / 1e6
    return reached


def _interval(ratio: Mapping[str, float]) -> str:
    return interval_text(ratio["value"], ratio["low"], ratio["high"])


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _grouped(rows: Sequence[Row], key: Callable[[Row], tuple[Any, ...]]) -> list[tuple[tuple[Any, ...], list[Row]]]:
    """Rows of one key together, in the order of the keys."""
    order = {one: index for index, one in enumerate(dict.fromkeys(map(key, rows)))}
    ordered = sorted(rows, key=lambda row: order[key(row)])
    return [(one, list(group)) for one, group in groupby(ordered, key)]
