"""What a caller gives, checked and completed to what ONNX Runtime takes.

ONNX Runtime checks little: a negative length, an index past an embedding's end or a size that two inputs disagree on
ends in a message about a node, or in wrong numbers. Everything is therefore held against the signature first.

A signature is compiled once, into tuples of what to compare, because :meth:`Feeder.feed` runs before every step of a
stream: it may cost a few microseconds and no more. What passed last is remembered by names, dtypes and shapes, and
passes again without more ado, but for what depends on values: lengths and indices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, ShapeError
from . import ragged
from .plans import compile_lengths, compile_tensor, wrong_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from ..signature import AxisRange, Signature
    from .plans import LengthsPlan, TensorPlan

#: Up to this many values Python finds the smallest and largest sooner than NumPy does.
_FEW = 64


class _Passed(NamedTuple):
    """Inputs that passed every check, as far as the checks depend on it.

    Attributes:
        given: how many inputs there were, lengths among them.
        forms: name, shape and dtype of each array that is not lengths.
        lengths: names of the lengths that were among the inputs.
        sizes: of the dynamic axes.
        absent: the states that were left out.
        ranged: the inputs whose values are to be checked.
    """

    given: int
    forms: tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]
    lengths: tuple[str, ...]
    sizes: list[int]
    absent: tuple[TensorPlan, ...]
    ranged: tuple[TensorPlan, ...]


class Feeder:
    """Turns a caller's inputs into ONNX Runtime's feed for one signature. It holds no arrays and is thread-safe."""

    def __init__(self, signature: Signature, *, advice: Mapping[str, str] | None = None) -> None:
        """Compile the signature.

        Args:
            signature: what is declared.
            advice: by axis name, what to do where it has a size that is not allowed; ends the message.
        """
        self.signature = signature
        self._advice = advice or {}
        self._axes = signature.dynamic_axes
        number = {axis: index for index, axis in enumerate(self._axes)}
        self._ranges: tuple[AxisRange, ...] = tuple(signature.range(axis) for axis in self._axes)
        #: Whether an axis may be of size zero.
        self.may_be_empty = any(one.minimum == 0 for one in self._ranges)
        measured = {one.name: one for one in signature.lengths}
        states = signature.state_names
        self.tensors = tuple(
            compile_tensor(spec, number, is_state=spec.name in states)
            for spec in signature.inputs
            if spec.name not in measured
        )
        self.lengths = tuple(
            compile_lengths(spec, measured[spec.name], number, signature)
            for spec in signature.inputs
            if spec.name in measured
        )
        self._names = frozenset(spec.name for spec in signature.inputs)
        # Read once and replaced as a whole, so that threads may share it.
        self._passed: _Passed | None = None

    def feed(
        self, inputs: Mapping[str, Any], lengths: ArrayLike | Mapping[str, ArrayLike] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Every input of the graph by name, checked.

        Args:
            inputs: by name, an array; or a list of arrays without their batch axis, which are padded.
            lengths: integers of shape ``(batch,)``, or a mapping of them by name where there are several.

        Raises:
            InputError: a name is missing or unknown, or lengths or values are out of their range.
            DtypeError: an array has another dtype than declared.
            ShapeError: an array has another rank or size than declared.
        """
        passed = self._passed
        if passed is None or not _is_alike(passed, inputs):
            return self._checked(inputs, lengths)
        feed = dict(inputs)
        for plan in passed.ranged:
            value = feed[plan.name]
            if value.size:
                _check_range(plan, value)
        if self.lengths or lengths is not None:
            self._add_lengths(feed, inputs, lengths, passed.sizes)
        for plan in passed.absent:
            feed[plan.name] = self._zeros(plan, passed.sizes)
        return feed

    def _checked(
        self, inputs: Mapping[str, Any], lengths: ArrayLike | Mapping[str, ArrayLike] | None
    ) -> dict[str, NDArray[Any]]:
        """As :meth:`feed`, with every check; what passes is remembered."""
        feed: dict[str, NDArray[Any]] = {}
        sizes = [-1] * len(self._axes)
        absent: list[TensorPlan] = []
        try:
            for plan in self.tensors:
                value = inputs.get(plan.name)
                if isinstance(value, np.ndarray):
                    self._check(plan, value, sizes)
                    feed[plan.name] = value
                elif value is not None:
                    return self._checked(*ragged.densify(self.tensors, self.lengths, inputs, lengths))
                elif plan.is_state:
                    absent.append(plan)
                else:
                    raise self._missing(plan, inputs)
        except AttributeError:
            if hasattr(inputs, "get"):
                raise
            raise InputError(
                f"inputs must be a mapping of names to arrays, found {type(inputs).__name__}. "
                f"Write {{'{self.tensors[0].name}': array}}."
            ) from None
        forms = tuple((name, value.shape, value.dtype) for name, value in feed.items())
        if self.lengths or lengths is not None:
            self._add_lengths(feed, inputs, lengths, sizes)
        for plan in absent:
            feed[plan.name] = self._zeros(plan, sizes)
        if not inputs.keys() <= self._names:
            raise self._unknown(inputs)
        self._passed = _Passed(
            given=len(inputs),
            forms=forms,
            lengths=tuple(plan.name for plan in self.lengths if plan.name in inputs),
            sizes=sizes,
            absent=tuple(absent),
            ranged=tuple(plan for plan in self.tensors if plan.has_range and plan.name in feed),
        )
        return feed

    def _check(self, plan: TensorPlan, value: NDArray[Any], sizes: list[int]) -> None:
        """Hold one array against its declaration, and note the sizes of its dynamic axes."""
        if value.dtype != plan.dtype:
            raise wrong_dtype(plan, value)
        shape = value.shape
        if len(shape) != plan.rank:
            raise ShapeError(
                f"input '{plan.name}' has {len(shape)} axes, shape {shape}; it must have {plan.rank}: {plan.spec}."
            )
        for position, number in plan.dynamic:
            size = shape[position]
            if sizes[number] != size:
                if sizes[number] >= 0:
                    raise self._disagreement(plan, number, size, sizes[number])
                if not self._ranges[number].admits(size):
                    told = self._advice.get(self._axes[number], "")
                    raise ShapeError(
                        f"axis '{self._axes[number]}' of input '{plan.name}' is {size}, shape {shape}; "
                        f"allowed is {self._ranges[number]}.{told and f' {told}'}"
                    )
                sizes[number] = size
        for position, size in plan.fixed:
            if shape[position] != size:
                raise ShapeError(
                    f"axis {position} of input '{plan.name}' is {shape[position]}, shape {shape}; "
                    f"it must be {size}: {plan.spec}."
                )
        if plan.has_range and value.size:
            _check_range(plan, value)

    def _add_lengths(
        self,
        feed: dict[str, NDArray[Any]],
        inputs: Mapping[str, Any],
        lengths: ArrayLike | Mapping[str, ArrayLike] | None,
        sizes: list[int],
    ) -> None:
        given = lengths if lengths is None or isinstance(lengths, dict) else self.named_lengths(lengths)
        for plan in self.lengths:
            value = inputs.get(plan.name)
            if given is not None:
                other = given.get(plan.name)
                if value is not None and other is not None:
                    raise InputError(
                        f"lengths '{plan.name}' are given twice, among the inputs and as lengths. Give them once."
                    )
                value = other if value is None else value
            size = sizes[plan.axis_number]
            batch = sizes[plan.batch_number] if plan.batch_number >= 0 else int(plan.batch)
            if value is None:
                feed[plan.name] = full = np.empty(max(batch, 0), plan.dtype)
                full.fill(size)
            else:
                feed[plan.name] = _checked_lengths(plan, value, batch, size)
        if given is not None and not given.keys() <= {plan.name for plan in self.lengths}:
            wrong = min(set(given) - {plan.name for plan in self.lengths})
            allowed = ", ".join(f"'{plan.name}'" for plan in self.lengths) or "none: the model has no lengths"
            raise InputError(f"lengths '{wrong}' are not known; allowed are {allowed}.")

    def named_lengths(self, lengths: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, Any]:
        """Lengths by name, whichever way they were given.

        Raises:
            InputError: a plain list or array is given and the model has no lengths, or several.
        """
        return ragged.named_lengths(self.lengths, lengths)

    def _zeros(self, plan: TensorPlan, sizes: list[int]) -> NDArray[Any]:
        """A state's initial value: zeros of its declared axes."""
        shape = [0] * plan.rank
        for position, size in plan.fixed:
            shape[position] = size
        for position, number in plan.dynamic:
            if sizes[number] < 0:
                raise InputError(
                    f"state '{plan.name}' is left out, and no other input tells the size of its axis "
                    f"'{self._axes[number]}'. Give it: {plan.spec}."
                )
            shape[position] = sizes[number]
        return np.zeros(shape, plan.dtype)

    def _disagreement(self, plan: TensorPlan, number: int, size: int, other: int) -> ShapeError:
        axis = self._axes[number]
        first = next(one.name for one in self.tensors if axis in one.spec.axes and one.name != plan.name)
        return ShapeError(
            f"axis '{axis}' is {size} in input '{plan.name}' and {other} in input '{first}'. "
            "An axis of one name must have one size."
        )

    def _missing(self, plan: TensorPlan, inputs: Mapping[str, Any]) -> InputError:
        unknown = [str(name) for name in inputs if name not in self._names]
        near = _near(plan.name, unknown) if unknown else ""
        meant = f" Is '{near}' meant to be it?" if near else ""
        found = ", ".join(f"'{name}'" for name in inputs) or "none"
        return InputError(f"input '{plan.name}' is missing; given are {found}.{meant} It must be {plan.spec}.")

    def _unknown(self, inputs: Mapping[str, Any]) -> InputError:
        name = next(str(one) for one in inputs if one not in self._names)
        near = _near(name, self._names)
        meant = f" Did you mean '{near}'?" if near else ""
        allowed = ", ".join(f"'{spec.name}'" for spec in self.signature.inputs)
        return InputError(f"input '{name}' is not known.{meant} The model takes {allowed}.")


def _is_alike(passed: _Passed, inputs: Mapping[str, Any]) -> bool:
    """Whether the inputs have the names, dtypes and shapes of those that passed.

    Types are compared for identity: a dict and arrays of NumPy's own, whose dtypes are single objects. Anything else,
    a subclass or a dtype of equal meaning, takes the long way, which knows what to do with it.
    """
    if type(inputs) is not dict or len(inputs) != passed.given:
        return False
    for name, shape, dtype in passed.forms:
        value = inputs.get(name)
        if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
            return False
    # As many names, and each of them there: the same names.
    return all(name in inputs for name in passed.lengths) if passed.lengths else True


def _check_range(plan: TensorPlan, value: NDArray[Any]) -> None:
    """An index past an embedding's end ends in an error of a node, or reads what is not there: refuse it here."""
    if value.size <= _FEW:
        flat = value.ravel().tolist()
        low, high = min(flat), max(flat)
    else:
        low, high = int(value.min()), int(value.max())
    minimum, bound = plan.spec.minimum, plan.spec.bound
    least = 0 if minimum is None else minimum
    if low < least or (bound is not None and high >= bound):
        found = low if low < least else high
        limits = f"{least} <= {plan.name}" + ("" if bound is None else f" < {bound}")
        index = tuple(int(one) for one in np.argwhere(value == found)[0])
        raise InputError(f"input '{plan.name}' holds {found} at {index}; allowed is {limits}.")


def _checked_lengths(plan: LengthsPlan, given: ArrayLike, batch: int, size: int) -> NDArray[Any]:
    """Lengths as an array of the plan's dtype and shape ``(batch,)``."""
    array = ragged.integers(plan.name, given)
    if batch < 0:
        batch = array.size
    if array.shape != (batch,):
        raise ShapeError(
            f"lengths '{plan.name}' have shape {array.shape}; they must have shape ({batch},), one for each row."
        )
    values = array.tolist()
    for row, value in enumerate(values):
        if value < plan.lowest or value > size:
            raise InputError(
                f"length {value} of row {row} in '{plan.name}' is out of range; "
                f"allowed is {plan.lowest} <= length <= {size}, the size of axis '{plan.axis}'."
            )
    if plan.tight and values and max(values) != size:
        raise InputError(
            f"the longest row of '{plan.name}' has {max(values)} of {size} steps; this model's answer depends on where "
            f"the longest row ends. Cut the arrays to {max(values)} along axis '{plan.axis}'."
        )
    return array.astype(plan.dtype, copy=False)


def _near(name: str, names: Any) -> str:  # noqa: ANN401  (any iterable of strings)
    import difflib  # noqa: PLC0415  (only a wrong name needs it)

    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")
