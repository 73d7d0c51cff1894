"""What a lower precision may cost: a budget in dB, in drift or in points of a metric, and how a loss is told.

- ``sqnr``: signal to quantization noise of the worst output, ``10 log10(sum(y^2) / sum((y - y')^2))`` dB over all
  calibration cases; at least the limit.
- ``drift``: largest difference of any output anywhere in a run of 1,000 steps, as a share of the largest magnitude that
  the output has in it; at most the limit.
- ``metric``: by how much the user's own metric becomes worse, in its own unit (0.005 is half a point of an accuracy
  between 0 and 1); at most the limit.

What stands beyond a row's length is padding and is not counted, nor is what fills in for no answer, such as a mask's
-1e9: as signal it would hide any noise. Whole numbers and booleans are not counted either: on the golden vectors they
are held to be equal, but for those that hang on choices where the budget is a metric's (:mod:`.choices`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BudgetError
from ..source import load_callable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ...runtime.session import Session
    from ...signature import Signature, TensorSpec

SQNR, DRIFT, METRIC = "sqnr", "drift", "metric"
#: Steps of the run over which drift is measured.
DRIFT_STEPS = 1000
#: What is alike in both answers and this many times larger than all that differs is no answer.
_FILLING = 1e4


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A measure of the user's own.

    Attributes:
        name: what to call it.
        score: takes a :class:`rnnx.Session` of an offline variant and returns a number. A streaming variant has the
            same nodes in the lower precision; that it gives the same answers is for the parity matrix to prove.
        lower_is_better: whether it counts errors.
        origin: what it is made of, so that a search is not resumed with another one.
    """

    name: str
    score: Callable[[Session], float]
    lower_is_better: bool = False
    origin: str = ""

    def __call__(self, session: Session) -> float:
        """The score of a session.

        Raises:
            BudgetError: the metric raises, or does not return a finite number.
        """
        try:
            found: object = self.score(session)
        except Exception as error:
            raise BudgetError(
                f"the metric '{self.name}' failed on variant '{session.variant.key}': {type(error).__name__}: {error}. "
                "It is called with an rnnx.Session and must return a number."
            ) from error
        if isinstance(found, bool) or not isinstance(found, int | float | np.number) or not math.isfinite(found):
            raise BudgetError(
                f"the metric '{self.name}' returned {found!r} for variant '{session.variant.key}'; "
                "it must return a finite number."
            )
        return float(found)

    def drop(self, before: float, after: float) -> float:
        """By how much the second score is worse."""
        return after - before if self.lower_is_better else before - after


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The loss that is allowed.

    Attributes:
        kind: ``sqnr``, ``drift`` or ``metric``.
        limit: dB at least, or a share or points at most.
        metric: what is measured, where the kind is ``metric``.
    """

    kind: str = SQNR
    limit: float = 30.0
    metric: Metric | None = None

    def check(self) -> Budget:
        """This budget.

        Raises:
            BudgetError: the limit is not one of its kind, or the metric is missing.
        """
        allowed = {SQNR: "a number of dB such as 30", DRIFT: "a share above 0 such as 1e-2", METRIC: "0.5% or 0.005"}
        if self.kind not in allowed:
            raise BudgetError(f"budget '{self.kind}' is not known; allowed are {', '.join(allowed)}.")
        least = {SQNR: -math.inf, DRIFT: 0.0, METRIC: 0.0}[self.kind]
        if not math.isfinite(self.limit) or self.limit < least:
            raise BudgetError(f"the budget {self.limit} is no {self.kind}; it must be {allowed[self.kind]}.")
        if (self.kind == METRIC) != (self.metric is not None):
            raise BudgetError(
                "a budget in points of a metric needs the metric, and no other budget takes one: "
                '--budget 0.5% --metric "accuracy=eval.py:score".'
            )
        return self

    def badness(self, loss: float) -> float:
        """The loss as a number that is larger where it is worse."""
        return -loss if self.kind == SQNR else loss

    def allows(self, loss: float) -> bool:
        """Whether a loss is within the budget; NaN never is."""
        return self.badness(loss) <= self.badness(self.limit)

    def told(self, loss: float) -> str:
        """A loss for people: ``34.2 dB``."""
        if self.kind == SQNR:
            return f"{loss:.1f} dB"
        name = "drift" if self.metric is None else f"{self.metric.name} lost"
        return f"{loss:.2g} {name}"

    def __str__(self) -> str:
        """``at least 30.0 dB``."""
        return f"{'at least' if self.kind == SQNR else 'at most'} {self.told(self.limit)}"


def parse_budget(
    *,
    sqnr: float | None = None,
    drift: float | None = None,
    points: str | None = None,
    metric: str | None = None,
    lower_is_better: bool = False,
) -> Budget:
    """A budget as it is written on a command line; 30 dB where nothing is.

    Args:
        sqnr: dB.
        drift: a share.
        points: ``0.5%`` or ``0.005``, of the metric's own unit.
        metric: ``name=file.py:function``.
        lower_is_better: whether the metric counts errors.

    Raises:
        BudgetError: a text is of another form.
        SourceError: the metric's function cannot be found.
    """
    if points is not None and metric is not None:
        name, equals, source = metric.partition("=")
        if not equals or not name.strip() or not source:
            raise BudgetError(f"the metric '{metric}' must be 'name=file.py:function', such as accuracy=eval.py:score.")
        function, sha256 = load_callable(source)
        measured = Metric(
            name=name.strip(), score=function, lower_is_better=lower_is_better, origin=f"{source} {sha256}"
        )
        return Budget(kind=METRIC, limit=_points(points), metric=measured).check()
    if drift is not None:
        return Budget(kind=DRIFT, limit=drift).check()
    return (Budget() if sqnr is None else Budget(limit=sqnr)).check()


def _points(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise BudgetError(f"the budget '{text}' is no number. Write 0.5% or 0.005.") from None


def sqnr(signature: Signature, cases: Sequence[tuple[Any, Any, Any]]) -> float:
    """Signal to quantization noise of the worst output, dB; infinite where nothing differs.

    Args:
        signature: the model's.
        cases: inputs, reference and candidate outputs, by name. Where their shapes differ nothing is alike.
    """
    worst = math.inf
    for spec in floats(signature):
        if _of_other_shapes(spec, cases):
            return -math.inf
        signal = noise = 0.0
        for reference, candidate in _pairs(signature, spec, cases):
            signal += float((reference**2).sum())
            noise += float(((reference - candidate) ** 2).sum())
        if noise > 0 or math.isnan(noise):
            worst = min(worst, 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else -math.inf)
    return worst


def drift(signature: Signature, cases: Sequence[tuple[Any, Any, Any]]) -> float:
    """Largest difference of any output as a share of its largest magnitude; infinite where one of them is NaN.

    Args:
        signature: the model's.
        cases: inputs, reference and candidate outputs, by name. Where their shapes differ nothing is alike.
    """
    worst = 0.0
    for spec in floats(signature):
        if _of_other_shapes(spec, cases):
            return math.inf
        pairs = _pairs(signature, spec, cases)
        scale = max((float(np.abs(one).max(initial=0.0)) for one, _ in pairs), default=0.0)
        apart = [float(np.abs(one - other).max(initial=0.0)) for one, other in pairs]
        for one in apart:
            share = one / scale if scale > 0 else (math.inf if one > 0 else 0.0)
            worst = math.inf if math.isnan(share) else max(worst, share)
    return worst


def floats(signature: Signature) -> list[TensorSpec]:
    """The outputs that a loss can be measured on.

    Raises:
        BudgetError: there are none.
    """
    found = [spec for spec in signature.outputs if spec.dtype.startswith("float")]
    if not found:
        raise BudgetError(
            "the model gives whole numbers only, whose loss is no matter of dB. Measure what they are for: "
            '--budget 0.5% --metric "accuracy=eval.py:score".'
        )
    return found


def _of_other_shapes(spec: TensorSpec, cases: Sequence[tuple[Any, Any, Any]]) -> bool:
    return any(np.shape(one[spec.name]) != np.shape(other[spec.name]) for _, one, other in cases)


def _pairs(
    signature: Signature, spec: TensorSpec, cases: Sequence[tuple[Any, Any, Any]]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Reference and candidate of one output in each case, without padding and without fillings."""
    pairs = []
    for inputs, reference, candidate in cases:
        one, other = (np.asarray(side[spec.name], np.float64) for side in (reference, candidate))
        kept = _own(signature, spec, inputs, one.shape)
        kept &= ~_filling(one, other, kept)
        pairs.append((one[kept], other[kept]))
    return pairs


def _filling(one: NDArray[np.float64], other: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which elements fill in for no answer: alike in both, and infinite or far larger than all that differs."""
    differing = np.abs(one[counted & (one != other)])
    largest = float(differing[np.isfinite(differing)].max(initial=0.0))
    least = _FILLING * largest if largest > 0 else np.finfo(np.float64).max
    filling: NDArray[np.bool_] = (one == other) & (np.abs(one) > least)
    return filling


def _own(
    signature: Signature, spec: TensorSpec, inputs: Mapping[str, Any], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which elements of an output are no padding."""
    own = np.ones(shape, np.bool_)
    for measured in signature.lengths:
        rows = signature.input(measured.name).axes[0]
        if measured.axis not in spec.axes or rows not in spec.axes or measured.name not in inputs:
            continue
        time, batch = spec.axes.index(measured.axis), spec.axes.index(rows)
        steps = np.arange(shape[time]).reshape([-1 if axis == time else 1 for axis in range(len(shape))])
        lengths = np.asarray(inputs[measured.name]).reshape([-1 if axis == batch else 1 for axis in range(len(shape))])
        own &= steps < lengths
    return own
