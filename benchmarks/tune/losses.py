"""How much a variant loses against fp32, and how much it may.

``--max-loss 0.5%`` is held against what the manifest recorded where the variant was made within the budget of a metric
(half a point of an accuracy between 0 and 1). Where it was not, the same share is held against what is measured here:
the relative error of the float outputs, ``sqrt(sum((y - y')^2) / sum(y^2))`` over all cases, of which 0.5% is a signal
46 dB above the noise. ``--max-loss 30dB`` is always measured here: at least that much signal to noise,
``10 log10(sum(y^2) / sum((y - y')^2))``. fp32 variants lose nothing: parity proved them. A variant that may choose
otherwise than fp32, and so has golden vectors of its own, has no noise to measure: what its metric lost must be told.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...bundle import GoldenCase
from ...errors import BudgetError, DtypeError, InputError
from ...runtime.session import load
from ...runtime.verify import answer_cases
from ..bench.agreement import decibels, signal_and_loss
from ..bench.inputs import axis_sizes, make_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...manifest import Variant
    from ...signature import Signature

_LIMIT = re.compile(r"(\d+(?:\.\d+)?(?:e-?\d+)?)\s*(%|dB)?\Z", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaxLoss:
    """How much a variant may lose.

    Attributes:
        text: as it was asked for.
        share: the largest share, or None where decibels were asked for.
        sqnr_db: the least signal to noise, or None where a share was asked for.
    """

    text: str
    share: float | None = None
    sqnr_db: float | None = None

    @classmethod
    def parse(cls, text: str) -> MaxLoss:
        """``0.5%``, ``0.005`` or ``30dB``.

        Raises:
            InputError: it is none of them, or out of range.
        """
        found = _LIMIT.match(text.strip())
        number = float(found[1]) if found else math.nan
        unit = (found[2] or "").lower() if found else ""
        if unit == "db" and math.isfinite(number) and number > 0:
            return cls(text=text.strip(), sqnr_db=number)
        share = number / 100 if unit == "%" else number
        if unit == "db" or not 0 <= share < 1:
            raise InputError(
                f"--max-loss is '{text}'; it must be a share below 1, such as 0.5% or 0.005, or the least signal to "
                "noise, such as 30dB."
            )
        return cls(text=text.strip(), share=share)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What a variant loses.

    Attributes:
        text: for people, such as ``0.31% of the outputs (50 dB)``.
        allowed: whether that is within the limit; True where there is none.
    """

    text: str
    allowed: bool


def losses(
    bundle: Bundle, variants: Sequence[Variant], limit: MaxLoss | None, *, provider: str, cases: Sequence[GoldenCase]
) -> dict[str, Loss]:
    """What each variant loses, by its key.

    Args:
        bundle: the bundle.
        variants: of one mode.
        limit: how much they may lose; None where what each was made within is enough, and nothing is measured.
        provider: to measure on.
        cases: to measure on.

    Raises:
        VariantError: something must be measured, and the bundle has no fp32 variant.
        BudgetError: a loss cannot be measured: no case fits the mode, or no output is of floats.
    """
    found: dict[str, Loss] = {}
    for one in variants:
        made = one.quantization
        if one.precision == "fp32":
            found[one.key] = Loss(text="none", allowed=True)
        elif limit is None:
            found[one.key] = Loss(text="not told" if made is None else _recorded(made.loss, made.budget), allowed=True)
        elif limit.share is not None and made is not None and made.budget == "metric":
            told = f"{made.loss:.3g} {made.metric or made.budget} (recorded)"
            found[one.key] = Loss(text=told, allowed=made.loss <= limit.share)
        elif one.golden:
            # Scores of other tokens than fp32's are neither signal nor noise.
            told = "cannot be measured in dB: it may choose otherwise than fp32, and was proven by a metric"
            found[one.key] = Loss(text=told, allowed=False)
        else:
            try:
                sqnr_db = measured_sqnr(bundle, one, provider=provider, cases=cases)
            except DtypeError as error:
                # A variant whose inputs are of another precision takes no golden vectors.
                found[one.key] = Loss(text=f"cannot be measured: {error}", allowed=False)
                continue
            share = 10 ** (-sqnr_db / 20)
            allowed = share <= limit.share if limit.share is not None else sqnr_db >= (limit.sqnr_db or 0.0)
            found[one.key] = Loss(text=f"{share:.2%} of the outputs ({sqnr_db:.1f} dB)", allowed=allowed)
    return found


def measured_sqnr(bundle: Bundle, variant: Variant, *, provider: str, cases: Sequence[GoldenCase]) -> float:
    """Signal to noise of a variant's float outputs against the fp32 variant's of the same mode, in dB.

    Raises:
        VariantError: the bundle has no fp32 variant.
        BudgetError: no case fits the mode, or no output is of floats.
    """
    answers = []
    for precision, form in (("fp32", ""), (variant.precision, variant.form)):
        with load(bundle.path, provider=provider, precision=precision, form=form, mode=variant.mode) as session:
            answers.append(answer_cases(session, cases)[1])
    signature = bundle.manifest.signature
    sums = [signal_and_loss(one, other, signature=signature) for one, other in zip(*answers, strict=True)]
    signal, lost = (sum(one[side] for one in sums) for side in (0, 1))
    if not signal:
        raise BudgetError(
            f"what '{variant.key}' loses cannot be measured: the {len(sums)} cases that fit its mode give no floats "
            "but zeros. Give --data with whole rows, or leave --max-loss out."
        )
    return decibels(signal, lost)


def data_case(
    signature: Signature, data: Mapping[str, NDArray[Any]], *, batch: int, time: int, sizes: Mapping[str, int]
) -> GoldenCase:
    """Data of the user's own as a case, as long as it is; what it does not hold is random.

    Args:
        signature: of the bundle.
        data: arrays by input name, checked.
        batch: where the data does not tell.
        time: where the data does not tell.
        sizes: of other dynamic axes, where the data does not tell.
    """
    whole = axis_sizes(signature, batch=batch, time=time, others=sizes)
    for name, array in data.items():
        axes = signature.input(name).axes
        whole |= {axis: size for axis, size in zip(axes, array.shape, strict=True) if isinstance(axis, str)}
    return GoldenCase(inputs=make_inputs(signature, whole, seed=0, data=data), outputs={})


def _recorded(loss: float, budget: str) -> str:
    return f"{loss:.3g} dB (recorded)" if budget == "sqnr" else f"{loss:.3g} {budget} (recorded)"
