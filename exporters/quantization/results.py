"""What a quantization made: the bundle, what became of each node, and the proof."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...bundle import Bundle
    from ...manifest import Variant
    from ...precision import Quantization
    from ..parity import ParityReport
    from .budgets import Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeResult:
    """What became of one node.

    Attributes:
        name: the node's.
        operator: its operator in fp32.
        module: qualified name of the source's module, or empty.
        weights: how many numbers its weights are.
        precision: what it computes in, such as ``int8`` or ``fp32``.
        why: the reason.
        cost: the loss with this node alone in the lower precision, see :attr:`Quantized.scale`; None where it was not
            measured.
    """

    name: str
    operator: str
    module: str
    weights: int
    precision: str
    why: str
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; a cost that is not finite, or was not measured, is None."""
        cost = self.cost if self.cost is not None and math.isfinite(self.cost) else None
        return {
            "name": self.name,
            "operator": self.operator,
            "module": self.module,
            "weights": self.weights,
            "precision": self.precision,
            "why": self.why,
            "cost": cost,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantized:
    """What a quantization made.

    Attributes:
        bundle: the bundle on disk.
        precision: ``int8`` or ``fp16``.
        budget: what was allowed.
        scale: what the cost of each node is told in.
        loss: what was lost, in the budget's unit.
        data: what it was measured on.
        nodes: what became of each node that has weights, and of others that must stay in fp32.
        parity: the matrix over fp32 and the lower precision, one report for each variant.
        measured: how many sets of nodes were measured, beyond those that an earlier log knew.
        entry: what the manifest says of the new variants.
    """

    bundle: Bundle
    precision: str
    budget: Budget
    scale: Budget
    loss: float
    data: str
    nodes: tuple[NodeResult, ...]
    parity: tuple[ParityReport, ...]
    measured: int
    entry: Quantization

    @property
    def variants(self) -> list[Variant]:
        """The new variants."""
        return [one for one in self.bundle.manifest.variants if one.precision == self.precision]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; a loss that is not finite is None."""
        files = self.bundle.manifest.files
        return {
            "bundle": str(self.bundle.path),
            "sha256": self.bundle.sha256,
            "precision": self.precision,
            "budget": {"kind": self.budget.kind, "limit": self.budget.limit},
            "scale": self.scale.kind,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "data": self.data,
            "reference": self.entry.reference,
            "reached": self.entry.reached,
            "agreement": self.entry.agreement,
            "measured": self.measured,
            "size_bytes": {
                one.key: sum(files[file].size_bytes for file in (one.file, *one.data_files))
                for one in self.bundle.manifest.variants
            },
            "nodes": [one.to_json() for one in self.nodes],
            "parity": [one.to_json() for one in self.parity],
        }
