"""Pieces of a plot as inline SVG: scales with round ticks, a frame with its axes, marks. No scripts, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Okabe and Ito (2008): told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B", "#8C4B00", "#4B2E83", "#1B7837")
#: Colour alone must not carry the meaning: each has a form too.
FORMS = ("circle", "square", "triangle", "diamond", "cross")

WIDTH, HEIGHT = 520, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 30, 46
_MOST_TICKS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """From values to pixels, by logarithm or evenly.

    Attributes:
        low: value at the first pixel.
        high: value at the last pixel.
        first: first pixel.
        last: last pixel; before the first on a y axis.
        logarithmic: whether equal factors are equal distances.
        ticks: values that are marked.
    """

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """The pixel of a value; one outside of the scale is put at its end."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(self.first + part * (self.last - self.first), 1)


def log_scale(values: Sequence[float], first: float, last: float, *, marked: Sequence[float] | None = None) -> Scale:
    """A logarithmic scale around positive values.

    Args:
        values: what it must hold.
        first: first pixel.
        last: last pixel.
        marked: where to put ticks; round numbers if absent.
    """
    low, high = min(values), max(values)
    # A little air, and never a scale of one point.
    air = max((high / low) ** 0.06, 1.15 if high / low > 1.3 else 1.6)
    low, high = low / air, high * air
    ticks = tuple(sorted(set(marked))) if marked is not None else _round_ticks(low, high)
    return Scale(low=low, high=high, first=first, last=last, logarithmic=True, ticks=_thinned(ticks, low, high))


def linear_scale(high: float, first: float, last: float) -> Scale:
    """An even scale from zero."""
    step = 10 ** math.floor(math.log10(high))
    step = next(one for one in (step / 5, step / 2, step, 2 * step) if high / one <= 6)
    count = math.ceil(high * 1.02 / step)
    ticks = tuple(number * step for number in range(count + 1))
    return Scale(low=0.0, high=max(high * 1.06, step), first=first, last=last, logarithmic=False, ticks=ticks)


def _round_ticks(low: float, high: float) -> tuple[float, ...]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in decades for step in steps]
        inside = tuple(one for one in ticks if low <= one <= high)
        if len(inside) <= _MOST_TICKS:
            break
    return inside[:: math.ceil(len(inside) / _MOST_TICKS)] if inside else (low, high)


def _thinned(ticks: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """Ticks of which none hides the next."""
    kept: list[float] = []
    for one in ticks:
        if low <= one <= high and (not kept or math.log(one / kept[-1]) / math.log(high / low) > 0.07):
            kept.append(one)
    return tuple(kept)


def number(value: float) -> str:
    """Short: ``0.05``, ``12``, ``1200``, ``1e-06``."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def text(x: float, y: float, content: str, *, anchor: str = "start", style: str = "", turn: float = 0) -> str:
    """A text at a point."""
    turned = f' transform="rotate({turn:.1f} {x:.1f} {y:.1f})"' if turn else ""
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{turned}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, style: str, colour: str = "") -> str:
    """A straight line."""
    stroke = f' stroke="{colour}"' if colour else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"{stroke}/>'


def path(points: Sequence[tuple[float, float]], *, colour: str, width: float) -> str:
    """A line through points."""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def mark(x: float, y: float, *, colour: str, form: str, title: str, hollow: bool = False, size: float = 4.5) -> str:
    """A mark at a point, with what is shown when the pointer rests on it."""
    fill, stroke = ("#fff" if hollow else colour), f'stroke="{colour}" stroke-width="1.6"'
    s = size
    if form == "circle":
        body = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s}" fill="{fill}" {stroke}>'
        return f"{body}<title>{escape(title)}</title></circle>"
    corners = {
        "square": ((-s, -s), (s, -s), (s, s), (-s, s)),
        "triangle": ((0, -s * 1.2), (s * 1.1, s), (-s * 1.1, s)),
        "diamond": ((0, -s * 1.3), (s * 1.3, 0), (0, s * 1.3), (-s * 1.3, 0)),
        "cross": tuple((a * s / 2, b * s / 2) for a, b in _CROSS),
    }[form]
    drawn = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{drawn}" fill="{fill}" {stroke}><title>{escape(title)}</title></polygon>'


_CROSS = ((-3, -1), (-1, -1), (-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A plot with its axes, to which marks are added.

    Attributes:
        title: what it shows.
        x: scale of the x axis.
        y: scale of the y axis.
        x_label: name and unit of the x axis.
        y_label: name and unit of the y axis.
        parts: what is drawn inside.
    """

    title: str
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    parts: list[str] = field(default_factory=list)

    def svg(self) -> str:
        """The whole plot."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        drawn = [text(LEFT, 18, self.title, style="title")]
        for tick in self.x.ticks:
            drawn.append(line(self.x(tick), TOP, self.x(tick), bottom, style="grid"))
            drawn.append(text(self.x(tick), bottom + 16, number(tick), anchor="middle", style="tick"))
        for tick in self.y.ticks:
            drawn.append(line(LEFT, self.y(tick), right, self.y(tick), style="grid"))
            drawn.append(text(LEFT - 6, self.y(tick) + 4, number(tick), anchor="end", style="tick"))
        drawn += [line(LEFT, bottom, right, bottom, style="axis"), line(LEFT, TOP, LEFT, bottom, style="axis")]
        drawn.append(text((LEFT + right) / 2, HEIGHT - 8, self.x_label, anchor="middle", style="label"))
        middle = (TOP + bottom) / 2
        drawn.append(text(15, middle, self.y_label, anchor="middle", style="label", turn=-90))
        return canvas("".join([*drawn, *self.parts]), self.title, HEIGHT)


def canvas(content: str, title: str, height: float) -> str:
    """An SVG of the usual width."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{content}</svg>'
    )
