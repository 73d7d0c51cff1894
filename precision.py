"""What a lower precision was allowed to lose and what it lost, as the manifest tells it of a variant."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """What a variant of lower precision was allowed to lose, what it lost, and which nodes stayed in fp32.

    Attributes:
        budget: ``sqnr`` (dB of signal to noise, at least), ``drift`` or ``metric`` (at most).
        limit: the budget.
        loss: what was measured, in the same unit; infinite where nothing was lost and the unit is dB.
        data: what it was measured on.
        metric: name of the metric, or empty.
        nodes: how many nodes are in the lower precision.
        fp32: why each of the others with weights of any size is not, by name.
        reference: the metric's value in fp32; None without a metric, and of bundles of before.
        reached: the metric's value in the lower precision; None as ``reference``.
        agreement: of a variant that may choose otherwise than fp32, and so has golden vectors of its own: the share of
            the whole numbers and booleans in fp32's golden vectors that it answers alike, from 0 to 1; else None.
    """

    budget: str
    limit: float
    loss: float
    data: str
    metric: str = ""
    nodes: int = 0
    fp32: Mapping[str, str] = field(default_factory=dict)
    reference: float | None = None
    reached: float | None = None
    agreement: float | None = None

    def __str__(self) -> str:
        """For people: the loss, the budget, by what else it was proven, and what stayed in fp32 and why."""
        if self.budget == "sqnr":
            lost = f"{self.loss:.3g} dB of at least {self.limit:g}"
        else:
            lost = f"{self.loss:.3g} {self.metric or self.budget} lost of {self.limit:g} allowed"
        if self.reference is not None and self.reached is not None:
            lost = f"{self.metric} {self.reached:.4g}, in fp32 {self.reference:.4g}: {lost}"
        parts = [f"{lost}, on {self.data}", f"{self.nodes} nodes"]
        if self.agreement is not None:
            parts.append(f"proven by that metric and not by fp32's choices, of which {self.agreement:.1%} are the same "
                         "in the golden vectors: it has golden vectors of its own")  # fmt: skip
        if self.fp32:
            parts.append("in fp32: " + "; ".join(f"'{name}' ({why})" for name, why in self.fp32.items()))
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; an infinite loss is None."""
        optional = {"reference": self.reference, "reached": self.reached, "agreement": self.agreement}
        return {
            "budget": self.budget,
            "limit": self.limit,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "data": self.data,
            "metric": self.metric,
            "nodes": self.nodes,
            "fp32": dict(self.fp32),
            **{name: value for name, value in optional.items() if value is not None},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Quantization:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: ``data`` is not such a dict.
        """
        optional = {name: float(data[name]) for name in ("reference", "reached", "agreement") if name in data}
        return cls(
            budget=str(data["budget"]),
            limit=float(data["limit"]),
            loss=math.inf if data["loss"] is None else float(data["loss"]),
            data=str(data["data"]),
            metric=str(data["metric"]),
            nodes=int(data["nodes"]),
            fp32={str(name): str(why) for name, why in data["fp32"].items()},
            **optional,
        )
