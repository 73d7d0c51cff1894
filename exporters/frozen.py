"""Who froze an axis: turning torch.export's refusals into a module, a file, a line and what to write instead."""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ..errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from ..signature import AxisRange

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_LOOP = re.compile(r"\b(for|while)\b|\.(unbind|split|chunk|tolist)\(|\brange\(")


@dataclass(frozen=True, kw_only=True, slots=True)
class Freeze:
    """One place where a symbolic size became a plain number.

    Attributes:
        value: the number it became.
        file: the user's file.
        line: the line in it.
        module_id: ``id`` of the module whose code it is, or 0.
    """

    value: int
    file: str
    line: int
    module_id: int


@contextmanager
def freezing(freezes: list[Freeze]) -> Iterator[None]:
    """Record every symbolic size that becomes a constant within this block, and where in the user's code."""
    original = ShapeEnv._set_replacement

    def set_replacement(self: ShapeEnv, symbol: Any, target: Any, message: str) -> None:  # noqa: ANN401
        original(self, symbol, target, message)
        place = user_place(sys._getframe(1))
        if place is not None and target.is_number:
            freezes.append(Freeze(value=int(target), **place))

    ShapeEnv._set_replacement = set_replacement  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ShapeEnv._set_replacement = original  # type: ignore[method-assign]


def narrower(error: Exception, ranges: Mapping[str, AxisRange]) -> dict[str, AxisRange]:
    """The axes that torch says can be dynamic within a narrower range, with that range."""
    narrowed = {axis: _narrow(axis, allowed, str(error)) for axis, allowed in ranges.items()}
    return {axis: allowed for axis, allowed in narrowed.items() if allowed not in {None, ranges[axis]}}


def only_unequal(error: Exception, ranges: Mapping[str, AxisRange]) -> list[str]:
    """The axes of which torch wants only that an expression over them is not some number; none where it wants more."""
    violated = re.findall(r"Not all values of (\w+) = .* satisfy the generated guard (.*)\.$", str(error), re.MULTILINE)
    named = re.search(r"Constraints violated \(([^)]*)\)", str(error))
    wanted = {axis for axis, guard in violated if re.search(r"!= \d+$", guard) and axis in ranges}
    everything = set() if named is None else {one.strip() for one in named[1].split(",")}
    return sorted(wanted) if wanted == everything else []


def refuse_frozen(
    error: Exception,
    freezes: list[Freeze],
    ranges: Mapping[str, AxisRange],
    sizes: Mapping[str, int],
    module_names: Mapping[int, str],
) -> None:
    """Raise where torch says that an axis became a constant, or another axis.

    Raises:
        CaptureError: names the module, file and line that froze it, or the two axes.
    """
    for axis in ranges:
        other = re.search(rf"^\s*{re.escape(axis)} = (\w+)\s*$", str(error), re.MULTILINE)
        if other and other[1] in ranges:
            raise CaptureError(
                f"the model needs the axes '{axis}' and '{other[1]}' to be of one size. Declare them by one name."
            ) from error
    frozen = next((axis for axis in ranges if _is_frozen(axis, str(error))), None)
    if frozen is not None:
        culprit = next((one for one in reversed(freezes) if one.value == sizes[frozen]), None)
        raise CaptureError(_frozen_message(frozen, sizes[frozen], culprit, module_names)) from error


def cannot_capture(error: Exception, module_names: Mapping[int, str]) -> CaptureError:
    """The error for a model that torch cannot trace."""
    place = _error_place(error, module_names)
    if "frames.Frames'>" in str(error):
        return CaptureError(
            f"the model cannot be captured{place}: it returns the list of a loop over time, whose length is not known. "
            "Return torch.stack(outputs, dim=1)."
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return CaptureError(
        f"the model cannot be captured{place}: {type(error).__name__}: {' '.join(lines[:3])[:500]}. Its Python code "
        "must not depend on the values of its inputs, and may use only tensor operations on dynamic axes."
        f"{_ending(place)}"
    )


def _ending(place: str) -> str:
    """What to write for a loop whose end depends on data."""
    if re.search(r"`while\b", place):
        return " A loop whose end depends on data is final, outputs = rnnx.while_loop(condition, step, state)."
    if re.search(r"`for\b.*\brange\(", place):
        return (
            " Go over the whole axis, and let a row stay as it is past its length: state, outputs = rnnx.scan(step, "
            "state, sequence, lengths=lengths)."
        )
    return ""


def _narrow(axis: str, allowed: AxisRange, message: str) -> AxisRange | None:
    """The axis's range as torch suggests it (``time = Dim('time', min=5)``, ``time = 4*_time``)."""
    name = re.escape(axis)
    minimum = re.search(rf"^\s*{name} = Dim\('{name}'[^)]*\bmin=(\d+)", message, re.MULTILINE)
    maximum = re.search(rf"^\s*{name} = Dim\('{name}'[^)]*\bmax=(\d+)", message, re.MULTILINE)
    multiple = re.search(rf"^\s*{name} = (\d+)\*_{name}\s*$", message, re.MULTILINE)
    if multiple:
        step = int(multiple[1])
        return replace(allowed, multiple_of=step, minimum=max(step, allowed.minimum))
    if not (minimum or maximum):
        return None
    return replace(
        allowed,
        minimum=max(int(minimum[1]), allowed.minimum) if minimum else allowed.minimum,
        maximum=min(int(maximum[1]), allowed.maximum or int(maximum[1])) if maximum else allowed.maximum,
    )


def _is_frozen(axis: str, message: str) -> bool:
    name = re.escape(axis)
    return bool(
        re.search(rf"^\s*{name} = \d+\s*$", message, re.MULTILINE)
        or re.search(rf"You marked {name} as dynamic but your code specialized it", message)
        or re.search(rf"\({name}\).*specialized", message)
    )


def _frozen_message(axis: str, size: int, culprit: Freeze | None, module_names: Mapping[int, str]) -> str:
    if culprit is None:
        return (
            f"the model freezes the axis '{axis}' at the example's size {size}. Look in its forward for a size that "
            f"is compared with or reshaped to a fixed number; if '{axis}' is always {size}, declare it as {size}."
        )
    code = linecache.getline(culprit.file, culprit.line).strip()
    module = module_names.get(culprit.module_id)
    whose = "the model" if not module else f"module '{module}'"
    where = f"{culprit.file}:{culprit.line}: `{code}`"
    if _LOOP.search(code):
        return (
            f"{whose} loops over the axis '{axis}' in Python ({where}). The loop would be unrolled to the example's "
            f"{size} steps. Write it with nn.LSTM, nn.GRU or nn.RNN over the whole sequence, or a cell of your own "
            "with state, outputs = rnnx.scan(step, state, sequence)."
        )
    return (
        f"{whose} freezes the axis '{axis}' at the example's size {size} ({where}). Use sizes only in tensor "
        f"operations there; if '{axis}' is always {size}, declare it as {size}."
    )


def user_place(frame: FrameType | None) -> dict[str, Any] | None:
    """The innermost frame that is neither torch's nor ours, and the module whose forward it works for."""
    place: dict[str, Any] | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_TORCH, _HERE, "<")) and "/sympy/" not in file:
            owner = _module_of(frame)
            place = place or {"file": file, "line": frame.f_lineno, "module_id": 0}
            # A function of no module, such as the step of a loop, belongs to the module that runs.
            if owner is not None:
                return place | {"module_id": id(owner)}
        frame = frame.f_back
    return place


def here() -> str:
    """`` (model.py:12: `...`)`` for the line of the user's that runs now; empty where there is none."""
    place = user_place(sys._getframe(1))
    if place is None:
        return ""
    return f" ({place['file']}:{place['line']}: `{linecache.getline(place['file'], place['line']).strip()}`)"


def _module_of(frame: FrameType) -> nn.Module | None:
    """The module whose method runs in this frame; its first argument, whatever it is called."""
    names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
    owner = frame.f_locals.get(names[0]) if names else None
    return owner if isinstance(owner, nn.Module) else None


def _error_place(error: Exception, module_names: Mapping[int, str]) -> str:
    """`` in module 'encoder' (model.py:12: `...`)`` from an exception's own traceback, where it shows one."""
    best: tuple[str, int, int] | None = None
    owner: nn.Module | None = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith((_TORCH, _HERE, "<")):
            # A function within a forward, such as the step of a scan, belongs to the module that runs.
            owner = _module_of(frame) or owner
            best = (file, line, id(owner))
    if best is None:
        return ""
    file, line, owner_id = best
    module = module_names.get(owner_id)
    named = f" in module '{module}'" if module else ""
    return f"{named} ({file}:{line}: `{linecache.getline(file, line).strip()}`)"
