"""The signature of a model: names, dtypes and symbolic axes of its inputs, outputs, lengths and states.

Standard library only, so that every other room can stand on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Axis = int | str

#: What an input may be made of: the dtypes that both torch and ONNX Runtime's CPU provider compute with.
DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

BATCH = "batch"
TIME = "time"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*\Z")
_DECLARATION = re.compile(
    r"""\s*(?P<name>[^:\s]+?)\s*(?:->\s*(?P<argument>[^:\s]+)\s*)?
        :\s*(?P<dtype>\w+)\s*\[(?P<axes>[^\]]*)\]
        \s*(?:>=\s*(?P<minimum>-?\d+)\s*,?)?\s*(?:<\s*(?P<bound>-?\d+))?\s*\Z""",
    re.VERBOSE,
)
_FORM = "'name: dtype[axis, ...]', such as 'features: float32[batch, time, 40]' or 'tokens: int64[batch, time] < 5000'"


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """One tensor at the face of a model.

    Attributes:
        name: its name in the bundle.
        dtype: a NumPy dtype name, one of :data:`DTYPES`.
        axes: one entry a dimension: a fixed size, or the name of a dynamic axis. An output's axis may also be an
            expression over the inputs' axes, such as ``time//2``.
        minimum: smallest value of an integer tensor, or None.
        bound: first value above an integer tensor's range (``< 5000``), or None.
        argument: where the value goes in the source's ``forward``: a parameter's name, followed by ``.key`` for
            each level of nesting (``hx.0``). Empty for outputs and for sources that are not known.
    """

    name: str
    dtype: str
    axes: tuple[Axis, ...]
    minimum: int | None = None
    bound: int | None = None
    argument: str = ""

    def __str__(self) -> str:
        """The declaration that parses to this spec."""
        to = f" -> {self.argument}" if self.argument not in {"", self.name} else ""
        low = f" >= {self.minimum}" if self.minimum is not None else ""
        high = f" < {self.bound}" if self.bound is not None else ""
        return f"{self.name}{to}: {self.dtype}[{', '.join(map(str, self.axes))}]{low}{high}"

    @property
    def dynamic_axes(self) -> tuple[str, ...]:
        """Names of the dynamic axes, in order."""
        return tuple(axis for axis in self.axes if isinstance(axis, str))


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthsSpec:
    """An int64 input of shape ``(batch,)`` that says how much of a dynamic axis each row of the batch uses.

    Attributes:
        name: the input's name.
        axis: the axis that it measures, nearly always ``time``.
        tight: whether the longest row must fill the axis, because the model's answer depends on where it ends.
    """

    name: str
    axis: str
    tight: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StateSpec:
    """An input that recurs. Where the caller gives none, it starts at ``initial``.

    Attributes:
        name: name of the input.
        initial: how it starts: ``zeros``, or ``stored`` where the bundle holds a learned value.
        output: name of the output that holds its value after the run, or None.
        meaning: what it is in the source, ``h of encoder.lstm.l0``; empty where the caller declared it.
    """

    name: str
    initial: str = "zeros"
    output: str | None = None
    meaning: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisRange:
    """The sizes that a dynamic axis may have.

    Attributes:
        name: the axis.
        minimum: smallest size, at least 0.
        maximum: largest size, or None where there is no limit.
        multiple_of: sizes must be divisible by this.
    """

    name: str
    minimum: int = 1
    maximum: int | None = None
    multiple_of: int = 1

    def admits(self, size: int) -> bool:
        """Whether an axis of this size is allowed."""
        return size >= self.minimum and (self.maximum is None or size <= self.maximum) and size % self.multiple_of == 0

    def __str__(self) -> str:
        """For people: ``time >= 5``, ``2 <= batch <= 64, a multiple of 2``."""
        text = f"{self.name} >= {self.minimum}"
        if self.maximum is not None:
            text = f"{self.minimum} <= {self.name} <= {self.maximum}"
        return text if self.multiple_of == 1 else f"{text}, a multiple of {self.multiple_of}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Everything a caller must know to run a model.

    Attributes:
        inputs: every input, lengths and states among them, in the graph's order.
        outputs: every output, in the graph's order.
        lengths: which inputs are lengths.
        states: which inputs are states.
        ranges: the sizes that each dynamic axis may have.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    lengths: tuple[LengthsSpec, ...] = ()
    states: tuple[StateSpec, ...] = ()
    ranges: tuple[AxisRange, ...] = field(default=())

    def input(self, name: str) -> TensorSpec:
        """The input of this name; KeyError where there is none."""
        return _by_name(self.inputs, name)

    def output(self, name: str) -> TensorSpec:
        """The output of this name; KeyError where there is none."""
        return _by_name(self.outputs, name)

    def range(self, axis: str) -> AxisRange:
        """The sizes that a dynamic axis may have."""
        return next((one for one in self.ranges if one.name == axis), AxisRange(name=axis))

    @property
    def dynamic_axes(self) -> tuple[str, ...]:
        """Every dynamic axis of the inputs, in order of appearance."""
        return tuple(dict.fromkeys(axis for spec in self.inputs for axis in spec.dynamic_axes))

    @property
    def time_axis(self) -> str | None:
        """The axis that a stream cuts into chunks: what lengths measure, or ``time``; None where that is not one."""
        there = dict.fromkeys(one for one in (*(spec.axis for spec in self.lengths), TIME) if one in self.dynamic_axes)
        return next(iter(there)) if len(there) == 1 else None

    @property
    def state_names(self) -> frozenset[str]:
        """Names of the inputs that are states."""
        return frozenset(state.name for state in self.states)

    def check(self) -> Signature:
        """This signature, after its parts were found to fit together.

        Raises:
            SignatureError: a name is used twice, or lengths or states name what is not there.
        """
        names = [spec.name for spec in self.inputs]
        for name in names:
            if names.count(name) > 1:
                raise SignatureError(f"input '{name}' is declared twice. Give every input a name of its own.")
        if not self.inputs:
            raise SignatureError(f"no inputs are declared. Declare at least one as {_FORM}.")
        for one in self.lengths:
            spec = self.input(one.name) if one.name in names else None
            if spec is None or spec.dtype not in {"int64", "int32"} or len(spec.axes) != 1:
                found = "no such input" if spec is None else f"'{spec}'"
                raise SignatureError(f"lengths '{one.name}' must be an int64[batch] input; found {found}.")
            if one.axis not in {axis for other in self.inputs if other.name != one.name for axis in other.dynamic_axes}:
                raise SignatureError(
                    f"lengths '{one.name}' measure the axis '{one.axis}', which no input has; the dynamic axes are "
                    f"{_listing(self.dynamic_axes)}. Name one of them: '{one.name}:AXIS'."
                )
        for state in self.states:
            if state.name not in names:
                raise SignatureError(f"state '{state.name}' is not among the inputs {_listing(names)}.")
        return self

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, as the manifest holds it."""
        return {
            "inputs": [_tensor_to_json(spec) for spec in self.inputs],
            "outputs": [_tensor_to_json(spec) for spec in self.outputs],
            "lengths": [{"name": one.name, "axis": one.axis, "tight": one.tight} for one in self.lengths],
            "states": [
                {"name": s.name, "initial": s.initial, "output": s.output, "meaning": s.meaning} for s in self.states
            ],
            "ranges": [
                {"name": r.name, "minimum": r.minimum, "maximum": r.maximum, "multiple_of": r.multiple_of}
                for r in self.ranges
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        """The signature that :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: ``data`` is not such a dict.
        """
        return cls(
            inputs=tuple(_tensor_from_json(one) for one in data["inputs"]),
            outputs=tuple(_tensor_from_json(one) for one in data["outputs"]),
            lengths=tuple(
                LengthsSpec(name=str(one["name"]), axis=str(one["axis"]), tight=bool(one["tight"]))
                for one in data["lengths"]
            ),
            states=tuple(
                StateSpec(
                    name=str(one["name"]),
                    initial=str(one["initial"]),
                    output=one["output"],
                    meaning=str(one["meaning"]),
                )
                for one in data["states"]
            ),
            ranges=tuple(
                AxisRange(
                    name=str(one["name"]),
                    minimum=int(one["minimum"]),
                    maximum=None if one["maximum"] is None else int(one["maximum"]),
                    multiple_of=int(one["multiple_of"]),
                )
                for one in data["ranges"]
            ),
        ).check()


def parse_tensor(declaration: str) -> TensorSpec:
    """One tensor from its declaration.

    The form is ``name: dtype[axis, ...]``, an axis being a number or a name. ``name -> argument.0`` says into which
    argument of ``forward`` the tensor goes where that has another name or is nested; integers may carry a range:
    ``>= 1`` and ``< 5000``.

    Raises:
        SignatureError: the declaration is not of that form.
    """
    match = _DECLARATION.match(declaration)
    if match is None:
        raise SignatureError(f"cannot read the declaration '{declaration}'. Write it as {_FORM}.")
    name, argument, dtype = match["name"], match["argument"] or match["name"], match["dtype"]
    for what in (name, argument):
        if not _PATH.match(what):
            raise SignatureError(
                f"'{what}' in '{declaration}' is not a name. Names are made of letters, digits and '_', "
                "nested arguments are written 'name.0' or 'name.key'."
            )
    if dtype not in DTYPES:
        raise SignatureError(f"dtype '{dtype}' in '{declaration}' is not known. Allowed are {_listing(DTYPES)}.")
    minimum, bound = (int(match[key]) if match[key] is not None else None for key in ("minimum", "bound"))
    if (minimum is not None or bound is not None) and "int" not in dtype:
        raise SignatureError(f"'{declaration}': only integers take a range, and '{dtype}' is none. Leave it out.")
    if bound is not None and bound <= (minimum or 0):
        raise SignatureError(f"'{declaration}': the range is empty. Its bound must be above {minimum or 0}.")
    axes = _parse_axes(match["axes"], declaration)
    return TensorSpec(name=name, dtype=dtype, axes=axes, minimum=minimum, bound=bound, argument=argument)


def parse_lengths(declaration: str, inputs: Iterable[TensorSpec]) -> LengthsSpec:
    """Lengths from ``name`` or ``name:axis``.

    Without an axis they measure ``time`` where an input has it, else the only dynamic axis that is not ``batch``.

    Raises:
        SignatureError: the axis is missing and cannot be told.
    """
    name, _, axis = (part.strip() for part in declaration.partition(":"))
    if not _NAME.match(name):
        raise SignatureError(f"lengths '{declaration}' must be 'name' or 'name:axis', such as 'lengths:time'.")
    dynamic = dict.fromkeys(one for spec in inputs for one in spec.dynamic_axes if one != BATCH)
    if not axis and TIME in dynamic:
        axis = TIME
    elif not axis and len(dynamic) == 1:
        axis = next(iter(dynamic))
    elif not axis:
        raise SignatureError(
            f"which axis do the lengths '{name}' measure? The dynamic axes are {_listing(dynamic)}. "
            f"Write '{name}:AXIS'."
        )
    return LengthsSpec(name=name, axis=axis)


def _parse_axes(text: str, declaration: str) -> tuple[Axis, ...]:
    axes: list[Axis] = []
    for part in (piece.strip() for piece in text.split(",")) if text.strip() else ():
        if part.isdecimal() and int(part) > 0:
            axes.append(int(part))
        elif _NAME.match(part):
            if part in axes:
                raise SignatureError(f"axis '{part}' stands twice in '{declaration}'. Give each axis its own name.")
            axes.append(part)
        else:
            raise SignatureError(
                f"axis '{part}' in '{declaration}' is neither a positive number nor a name. Write {_FORM}."
            )
    return tuple(axes)


def _tensor_to_json(spec: TensorSpec) -> dict[str, Any]:
    data: dict[str, Any] = {"name": spec.name, "dtype": spec.dtype, "axes": list(spec.axes)}
    optional = {"minimum": spec.minimum, "bound": spec.bound, "argument": spec.argument or None}
    return data | {key: value for key, value in optional.items() if value is not None}


def _tensor_from_json(data: Mapping[str, Any]) -> TensorSpec:
    axes = tuple(data["axes"])
    if data["dtype"] not in DTYPES or not all(isinstance(axis, int | str) for axis in axes):
        raise ValueError(f"tensor '{data['name']}' has dtype {data['dtype']!r} and axes {axes!r}")
    return TensorSpec(
        name=str(data["name"]),
        dtype=str(data["dtype"]),
        axes=axes,
        minimum=data.get("minimum"),
        bound=data.get("bound"),
        argument=str(data.get("argument", "")),
    )


def _by_name(specs: Iterable[TensorSpec], name: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    raise KeyError(name)


def _listing(names: Iterable[object]) -> str:
    """Names quoted and joined for a message."""
    return ", ".join(f"'{name}'" for name in names) or "none"
