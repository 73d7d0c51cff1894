"""Sizes that a session is made for: from the smallest over the usual one to the largest, for each dynamic axis.

A TensorRT engine is built for such a range, and a CUDA graph for one size alone. Other sizes are refused before they
reach either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..signature import AxisRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..signature import Signature

_RANGE = re.compile(r"\s*(?P<axis>[A-Za-z_]\w*)\s*=\s*(?P<sizes>\d+(?::\d+:\d+)?)\s*\Z", re.ASCII)
_FORM = "'AXIS=SMALLEST:USUAL:LARGEST' such as 'time=1:64:512', or 'AXIS=SIZE' such as 'batch=8'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """The sizes that one axis may have in a session.

    Attributes:
        axis: its name.
        minimum: smallest size, at least 1.
        optimum: the size that most runs have, for which kernels are chosen.
        maximum: largest size.
    """

    axis: str
    minimum: int
    optimum: int
    maximum: int

    def __str__(self) -> str:
        """As it is written: ``time=1:64:512``, ``batch=8``."""
        if self.minimum == self.maximum:
            return f"{self.axis}={self.minimum}"
        return f"{self.axis}={self.minimum}:{self.optimum}:{self.maximum}"


def parse_ranges(texts: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Ranges as :func:`rnnx.load` takes them, from ``time=1:64:512`` or ``batch=8`` each.

    Raises:
        InputError: one is not of this form, or an axis has two.
    """
    found: dict[str, tuple[int, int, int]] = {}
    for text in texts:
        match = _RANGE.match(text)
        if match is None:
            raise InputError(f"cannot read the range '{text}'. Write it as {_FORM}.")
        axis, sizes = match["axis"], [int(one) for one in match["sizes"].split(":")]
        if axis in found:
            raise InputError(f"axis '{axis}' is given two ranges. Give one.")
        found[axis] = (sizes[0], sizes[len(sizes) // 2], sizes[-1])
    return found


def check_ranges(signature: Signature, given: Mapping[str, Any]) -> dict[str, Sizes]:
    """Sizes by axis, after each was found to be allowed.

    Args:
        signature: of the variant.
        given: by axis, ``(smallest, usual, largest)`` or one size.

    Raises:
        InputError: an axis is not known, its range is no range, or the model does not take all of it.
    """
    found = {}
    for axis, value in given.items():
        if axis not in signature.dynamic_axes:
            allowed = ", ".join(f"'{one}'" for one in signature.dynamic_axes) or "none: all its axes are fixed"
            raise InputError(f"a range is given for the axis {axis!r}, which this variant has not; it has {allowed}.")
        numbers = (value,) * 3 if isinstance(value, int) else tuple(value) if isinstance(value, tuple | list) else ()
        if len(numbers) != 3 or not all(type(one) is int for one in numbers):
            raise InputError(
                f"the range of axis '{axis}' is {value!r}; it must be (smallest, usual, largest) or a size."
            )
        sizes = Sizes(axis=axis, minimum=numbers[0], optimum=numbers[1], maximum=numbers[2])
        if not 1 <= sizes.minimum <= sizes.optimum <= sizes.maximum:
            raise InputError(
                f"the range '{axis}={':'.join(map(str, numbers))}' does not rise from at least 1. Write it as {_FORM}."
            )
        declared = signature.range(axis)
        wrong = next((one for one in numbers if not declared.admits(one)), None)
        if wrong is not None:
            raise InputError(f"the range '{sizes}' has the size {wrong}, and the model takes {declared}.")
        found[axis] = sizes
    return found


def plan_sizes(signature: Signature, given: Mapping[str, Any]) -> dict[str, Sizes]:
    """Sizes of every dynamic axis: those given, else the declared ones where these have an end.

    Raises:
        InputError: as :func:`check_ranges`; or an axis has no end and no range is given.
    """
    found = check_ranges(signature, given)
    missing = []
    for axis in signature.dynamic_axes:
        declared = signature.range(axis)
        if axis in found:
            continue
        if declared.maximum is None:
            missing.append(axis)
            continue
        # No engine takes an axis of size zero.
        smallest = declared.minimum or declared.multiple_of
        found[axis] = Sizes(axis=axis, minimum=smallest, optimum=declared.maximum, maximum=declared.maximum)
    if missing:
        listed = " and ".join(f"'{axis}'" for axis in missing)
        code = ", ".join(f"'{axis}': (1, 64, 512)" for axis in missing)
        flags = " ".join(f"--range {axis}=1:64:512" for axis in missing)
        raise InputError(
            f"the model declares no largest size of {listed}, and TensorRT builds its engine for a range. Give the "
            f"smallest, the usual and the largest size: ranges={{{code}}}, or {flags}."
        )
    return {axis: found[axis] for axis in signature.dynamic_axes}


def one_size(signature: Signature, given: Mapping[str, Any]) -> dict[str, Sizes]:
    """The one size of every dynamic axis.

    Raises:
        InputError: as :func:`check_ranges`; or an axis has no size, or several.
    """
    found = check_ranges(signature, given)
    several = [str(one) for one in found.values() if one.minimum != one.maximum]
    if several:
        raise InputError(f"a CUDA graph holds one size of each axis, and the range '{several[0]}' has several.")
    for axis in signature.dynamic_axes:
        declared = signature.range(axis)
        if axis not in found and declared.minimum == declared.maximum and declared.maximum:
            size = declared.maximum
            found[axis] = Sizes(axis=axis, minimum=size, optimum=size, maximum=size)
    missing = [axis for axis in signature.dynamic_axes if axis not in found]
    if missing:
        code = ", ".join(f"'{axis}': 1" for axis in signature.dynamic_axes)
        raise InputError(
            f"a CUDA graph holds one size of each axis, and '{missing[0]}' has none. Give all: cuda_graph={{{code}}}."
        )
    return found


def covering(signature: Signature, runs: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int, int]]:
    """Ranges, as :func:`rnnx.load` takes them, that hold every one of these runs, whole or step by step.

    Args:
        signature: of the variant.
        runs: arrays by input name, states left out or not; other names are passed over.
    """
    found: dict[str, list[int]] = {}
    for run in runs:
        for spec in signature.inputs:
            if spec.name in run:
                for axis, size in zip(spec.axes, run[spec.name].shape, strict=True):
                    if isinstance(axis, str):
                        found.setdefault(axis, []).append(int(size))
    ranges = {}
    for axis, sizes in found.items():
        declared = signature.range(axis)
        least = max(declared.minimum, declared.multiple_of)
        ranges[axis] = (least, max(sizes), max(sizes)) if max(sizes) >= least else (least, least, least)
    return ranges


def narrowed(signature: Signature, sizes: Mapping[str, Sizes]) -> Signature:
    """The signature of a session that takes these sizes alone."""
    if not sizes:
        return signature
    ranges = {one.name: one for one in signature.ranges}
    for axis, one in sizes.items():
        ranges[axis] = AxisRange(
            name=axis,
            minimum=one.minimum,
            maximum=one.maximum,
            multiple_of=signature.range(axis).multiple_of,
        )
    return replace(signature, ranges=tuple(ranges.values()))
