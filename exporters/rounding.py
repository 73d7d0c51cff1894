"""Answers that rounding decides: where the source's own tokens change with the last bits of its weights.

A search takes the better of two scores. Where they are equal to the last bits, PyTorch on another machine takes the
other one, and so may a right graph. Such a case says nothing of the graph, and is not compared.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import ParityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ..signature import Signature
    from .parity import Answers, Runner

#: How far weights and inputs are moved, relative to themselves: as far as a sum of some hundred products may be off.
_NUDGE = 1e-6
_TRIES = 2
#: So many of the cases must be decided by more than rounding.
_SHARE = 0.5


def without_undecided(answers: Answers, source: Runner, module: nn.Module, signature: Signature) -> Answers:
    """The answers without the cases in which a nudge of weights and inputs changes an integer or boolean output.

    Args:
        answers: the source's.
        source: the source as a runner.
        module: the source itself; its weights are put back as they were.
        signature: its outputs. Without integers or booleans among them nothing is asked.

    Raises:
        ParityError: rounding decides most cases.
    """
    whole = [spec.name for spec in signature.outputs if "float" not in spec.dtype]
    if not whole:
        return answers
    undecided: dict[int, str] = {}
    for attempt in range(_TRIES):
        with _nudged(module, attempt):
            for i, case in enumerate(answers.cases):
                changed = _changed(source, _nudged_inputs(case.inputs, attempt), answers.references[i], whole)
                if changed:
                    undecided.setdefault(i, f"rounding decides the source's own output '{changed}'")
    kept = [i for i in range(len(answers.cases)) if i not in undecided]
    if len(kept) < _SHARE * len(answers.cases):
        raise ParityError(
            f"in {len(undecided)} of {len(answers.cases)} cases the source's own answer changes when its weights "
            f"change by {_NUDGE:.0e} of themselves, so too little is left to compare. Export trained weights, or "
            "declare narrower inputs."
        )
    return replace(
        answers,
        cases=[answers.cases[i] for i in kept],
        references=[answers.references[i] for i in kept],
        undecided={str(answers.cases[i]): why for i, why in undecided.items()},
    )


def _changed(
    source: Runner, inputs: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]], names: list[str]
) -> str:
    answer = source(inputs)
    return next((name for name in names if not np.array_equal(answer[name], reference[name])), "")


def _nudged_inputs(inputs: Mapping[str, NDArray[Any]], seed: int) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(seed)
    return {
        name: np.asarray(array * (1 + _NUDGE * generator.standard_normal(array.shape)), array.dtype)
        if np.issubdtype(array.dtype, np.floating)
        else array
        for name, array in inputs.items()
    }


@contextmanager
def _nudged(module: nn.Module, seed: int) -> Iterator[None]:
    """Within this block every weight is a little off."""
    generator = torch.Generator().manual_seed(seed)
    weights = [one for one in (*module.parameters(), *module.buffers()) if one.is_floating_point()]
    with torch.no_grad():
        kept = [one.clone() for one in weights]
        try:
            for one in weights:
                one.mul_(1 + _NUDGE * torch.randn(one.shape, generator=generator).to(one))
            yield
        finally:
            for one, before in zip(weights, kept, strict=True):
                one.copy_(before)
