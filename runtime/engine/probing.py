"""Found out when an engine begins: does this variant answer in a batch what it answers alone?

A graph may let rows meet (statistics over the batch) or padding leak into answers (a mean over the whole axis); nothing
in a signature says so. So a few small requests are run alone and together. Where the answers differ by more than the
variant's tolerance, that kind of batching is switched off, and the engine's notes say why.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BundleError, RnnxError
from ..comparison import compare, scale_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...signature import Signature, TensorSpec
    from .request import Request
    from .running import Runner

#: Sizes that are tried along a dynamic axis where the bundle's golden vectors do not tell any.
_SMALL, _STEP = 6, 5


def probe(runner: Runner) -> None:
    """Run a few requests alone and together, and switch off in the runner's merger what changes answers."""
    merger = runner.merger
    if merger.alone:
        return
    try:
        samples = _Samples(runner)
        if runner.streaming:
            _probe_streams(runner, samples)
        else:
            _probe_sequences(runner, samples)
    except RnnxError as error:
        merger.run_alone(f"whether answers stay the same could not be tried: {error}")


def _probe_sequences(runner: Runner, samples: _Samples) -> None:
    merger = runner.merger
    loud = samples.loudest
    first, second, other = (runner.request(samples.draw(*one)) for one in ((0, 1.0), (0, loud), (1, loud)))
    if not samples.may_stack:
        return
    if why := _difference(runner, [first, second]):
        merger.run_alone(f"answers change in company: {why}")
    elif first.place.sizes != other.place.sizes and (why := _difference(runner, [first, other])):
        merger.stop_padding(f"answers change with padding: {why}")


def _probe_streams(runner: Runner, samples: _Samples) -> None:
    if not samples.may_stack:
        return
    states = [runner.session.initial_state(samples.rows) for _ in range(2)]
    for _ in range(2):  # the second time from states that are not the initial ones
        drawn = [samples.draw(0, 1.0), samples.draw(0, samples.loudest)]
        pair = [runner.request(inputs, state=state) for inputs, state in zip(drawn, states, strict=True)]
        if why := _difference(runner, pair):
            runner.merger.run_alone(f"answers change in company: {why}")
            return
        after = [runner.run([one])[0][1] for one in pair]
        states = [state for state in after if state is not None]


def _difference(runner: Runner, requests: Sequence[Request]) -> str:
    """What differs when these run together; empty where nothing does."""
    alone = [_arrays(runner, [one])[0] for one in requests]
    together = _arrays(runner, requests)
    tolerance = runner.session.variant.tolerance
    for name in alone[0]:
        scale = scale_of(one[name] for one in alone)
        for reference, candidate in zip(alone, together, strict=True):
            found = compare(*_without_equal_nan(reference[name], candidate[name]), tolerance=tolerance, scale=scale)
            if not found.passed:
                told = found.reason or f"by {found.max_abs_diff:.2g}, allowed is {found.allowed:.2g}"
                return f"'{name}' differs, {told}"
    return ""


def _arrays(runner: Runner, requests: Sequence[Request]) -> list[dict[str, NDArray[Any]]]:
    return [
        {**outputs, **({} if state is None else {f"state {name}": value for name, value in state.values.items()})}
        for outputs, state in runner.run(requests)
    ]


def _without_equal_nan(reference: NDArray[Any], candidate: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """NaN in the same places says nothing of batches: inputs that are drawn may be none that the model can take."""
    if reference.dtype.kind == "f" and reference.shape == candidate.shape:
        both = np.isnan(reference) & np.isnan(candidate)
        if both.any():
            return np.where(both, 0, reference), np.where(both, 0, candidate)
    return reference, candidate


class _Samples:
    """Seeded inputs: values drawn from the bundle's golden vectors where it has them, and sizes that they have."""

    def __init__(self, runner: Runner) -> None:
        session = runner.session
        signature = session.signature
        states = signature.state_names if runner.streaming else frozenset[str]()
        skipped = states | {one.name for one in signature.lengths}
        self._specs = [spec for spec in signature.inputs if spec.name not in skipped]
        try:
            golden = [case.inputs for case in session.bundle.golden()]
        except BundleError:
            golden = []
        self._values = {
            spec.name: np.concatenate(
                [case[spec.name].ravel() for case in golden if spec.name in case] or [np.empty(0)]
            )
            for spec in self._specs
        }
        self._random = np.random.default_rng(0)
        #: Company that is as loud as it may be beside the others, see :attr:`Merger.one_scale`.
        self.loudest = math.sqrt(2) if runner.merger.one_scale else 1.0
        self._rows_axis = runner.merger.batch
        rows = signature.range(self._rows_axis)
        self.rows = _admitted(rows.minimum, rows.multiple_of)
        #: Whether two requests of so many rows are one that the variant takes.
        self.may_stack = rows.admits(2 * self.rows)
        chunks = session.variant.chunks
        least = 0 if chunks is None else chunks.first + chunks.keep + chunks.multiple
        self._sizes = {axis: self._pair(axis, golden, session.signature, least) for axis in signature.dynamic_axes}
        self._sizes[self._rows_axis] = (self.rows, self.rows)

    def draw(self, which: int, loud: float) -> dict[str, NDArray[Any]]:
        """Inputs of the larger (0) or the smaller (1) of two sizes along each dynamic axis, floats so many times."""
        drawn = {spec.name: self._array(spec, which) for spec in self._specs}
        return {
            name: (array * loud).astype(array.dtype) if array.dtype.kind == "f" else array
            for name, array in drawn.items()
        }

    def _array(self, spec: TensorSpec, which: int) -> NDArray[Any]:
        shape = [axis if isinstance(axis, int) else self._sizes[axis][which] for axis in spec.axes]
        values = self._values[spec.name]
        if values.size:
            return self._random.choice(values, shape).astype(spec.dtype)
        if spec.dtype.startswith("float"):
            return self._random.standard_normal(shape).astype(spec.dtype)
        low = spec.minimum or 0
        high = min(low + 2 if spec.bound is None else spec.bound, low + 100)
        return self._random.integers(low, 2 if spec.dtype == "bool" else high, shape).astype(spec.dtype)

    def _pair(
        self,
        axis: str,
        golden: Sequence[Mapping[str, NDArray[Any]]],
        signature: Signature,
        least: int,
    ) -> tuple[int, int]:
        limits = signature.range(axis)
        found = {
            case[spec.name].shape[spec.axes.index(axis)]
            for case in golden
            for spec in self._specs
            if axis in spec.axes and spec.name in case
        }
        proven = sorted(size for size in found if size >= max(2, least) and limits.admits(size))
        if len(proven) >= 2:
            return proven[1], proven[0]
        smaller = _admitted(max(limits.minimum, _SMALL, least), limits.multiple_of)
        larger = _admitted(smaller + _STEP, limits.multiple_of)
        if limits.maximum is not None and larger > limits.maximum:
            larger = limits.maximum - limits.maximum % limits.multiple_of
            smaller = min(smaller, max(larger - limits.multiple_of, _admitted(limits.minimum, limits.multiple_of)))
        return larger, smaller


def _admitted(size: int, multiple: int) -> int:
    """The first size from here, and from 1, that is such a multiple."""
    return -(-max(size, 1) // multiple) * multiple
