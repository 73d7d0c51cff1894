"""How near a row is to what the machine allows (Williams, Waterman and Patterson, 2009).

The least time that a run can take is the larger of two: that of its products at the machine's best rate, and that of
its bytes at the bandwidth of where they come from. Weights come from wherever all weights together fit; those that a
recurrence reads again in every step, from where its own fit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...exporters.counting import GraphCost
    from .ceilings import Ceilings


@dataclass(frozen=True, kw_only=True, slots=True)
class Roofline:
    """What a run costs, and the least time that this machine needs for it.

    Attributes:
        float_ops: operations of products in floating point.
        int8_ops: operations of products in 8-bit integers.
        other_ops: values computed without a product; they set no limit here.
        weight_bytes: bytes of weights, each once.
        total_bytes: inputs, outputs, weights, and weights again in every step of a recurrence.
        least_ms: the least time.
        limit: what sets it: ``float32 products``, ``int8 products``, ``products``, or the name of a level of memory.
        fraction: ``least_ms`` over the measured median, so 1 at the limit; None where nothing was measured.
    """

    float_ops: int
    int8_ops: int
    other_ops: int
    weight_bytes: int
    total_bytes: int
    least_ms: float
    limit: str
    fraction: float | None = None

    @property
    def intensity(self) -> float:
        """Operations of products for each byte."""
        return (self.float_ops + self.int8_ops) / max(self.total_bytes, 1)

    def at(self, p50_ms: float) -> Roofline:
        """The same, with a measured median in milliseconds to tell the fraction by."""
        return replace(self, fraction=self.least_ms / p50_ms)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self) | {"intensity": self.intensity}


def roofline(cost: GraphCost, ceilings: Ceilings) -> Roofline:
    """The least time for this cost under these ceilings.

    Args:
        cost: counted from the graph.
        ceilings: of the same number of threads.
    """
    # 10^9 operations a second are 10^6 a millisecond, and so are bytes.
    floats = cost.float_ops / (ceilings.float_gops * 1e6)
    integers = cost.int8_ops / (ceilings.int8_gops * 1e6)
    levels: dict[str, float] = {}
    reads = [(cost.weight_bytes, cost.face_bytes + cost.weight_bytes)]
    reads += [(one.working_set_bytes, one.repeated_bytes) for one in cost.nodes]
    for working_set, read in reads:
        level = ceilings.level(working_set)
        if level is not None:
            levels[level.name] = levels.get(level.name, 0.0) + read / (level.gb_per_s * 1e6)
    products, memory = floats + integers, sum(levels.values())
    if memory > products:
        limit = max(levels, key=lambda name: levels[name])
    elif floats and integers:
        limit = "products"
    else:
        limit = "int8 products" if integers else "float32 products"
    least = max(products, memory)
    return Roofline(
        float_ops=cost.float_ops,
        int8_ops=cost.int8_ops,
        other_ops=cost.other_ops,
        weight_bytes=cost.weight_bytes,
        total_bytes=cost.total_bytes,
        least_ms=least,
        limit=limit,
    )
