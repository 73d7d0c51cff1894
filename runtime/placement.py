"""Where the nodes of a variant really ran, from ONNX Runtime's own profile of one run.

A session that has a provider may still give it few nodes: the rest runs on the CPU, with copies in between, and nothing
says so. The profile does. It is a list of events in Chrome's trace format; those of the category ``Node`` whose names
end in ``_kernel_time`` are kernels, and their ``args`` tell ``provider``, ``op_name``, ``node_index`` and
``output_size`` in bytes. A copy between devices is a node ``MemcpyFromHost`` or ``MemcpyToHost``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KERNEL = "_kernel_time"
COPIES = ("MemcpyFromHost", "MemcpyToHost")
#: What runs a graph inside of it: its time is that of other nodes.
CONTROL_FLOW = ("If", "Loop", "Scan")

#: What ONNX Runtime leaves to the CPU on purpose: the arithmetic of shapes. Whole numbers and flags, this many at most.
SMALL_ELEMENTS = 64
_WHOLE = ("int64", "int32", "bool")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedNode:
    """One node as it ran.

    Attributes:
        name: its name; one that ONNX Runtime or TensorRT made of several has their names in its own, or another.
        operator: its operator.
        provider: where it ran, in ONNX Runtime's words; ``OpenVINO CPU`` of OpenVINO.
        runs: how often: a node within a Scan or Loop runs for every step.
        time_us: microseconds of all runs.
        output_bytes: of all runs.
        small: whether it gave a few whole numbers only, as the arithmetic of shapes does.
        module: the source's module that it comes from, or empty.
    """

    name: str
    operator: str
    provider: str
    runs: int = 1
    time_us: int = 0
    output_bytes: int = 0
    small: bool = False
    module: str = ""

    @property
    def label(self) -> str:
        """For people: ``'encoder/LSTM' (LSTM of encoder)``."""
        of = f" of {self.module}" if self.module else ""
        return f"'{self.name}' ({self.operator}{of})"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "name": self.name,
            "operator": self.operator,
            "provider": self.provider,
            "runs": self.runs,
            "time_us": self.time_us,
            "output_bytes": self.output_bytes,
            "small": self.small,
            "module": self.module,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where every node of one run was computed.

    Attributes:
        variant: the variant's key.
        wanted: the provider asked for, in ONNX Runtime's words.
        nodes: in the order in which they first ran, without copies.
        copies: the copies between devices.
        shapes: of the inputs of that run.
    """

    variant: str
    wanted: str
    nodes: tuple[PlacedNode, ...]
    copies: tuple[PlacedNode, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def elsewhere(self) -> tuple[PlacedNode, ...]:
        """Nodes that did not run where it was asked for, the arithmetic of shapes left out."""
        return tuple(one for one in self.nodes if one.provider != self.wanted and not one.small)

    @property
    def shape_arithmetic(self) -> tuple[PlacedNode, ...]:
        """Nodes that ran elsewhere and gave a few whole numbers only."""
        return tuple(one for one in self.nodes if one.provider != self.wanted and one.small)

    @property
    def providers(self) -> dict[str, tuple[int, int]]:
        """By provider: how many nodes it ran, and their microseconds. A Scan's own are those of its body."""
        found: dict[str, tuple[int, int]] = {}
        for one in self.nodes:
            count, time_us = found.get(one.provider, (0, 0))
            added = 0 if one.operator in CONTROL_FLOW else one.time_us
            found[one.provider] = (count + 1, time_us + added)
        return found

    @property
    def copied_bytes(self) -> int:
        """How much went between devices within the run; inputs and outputs of the whole come on top."""
        return sum(one.output_bytes for one in self.copies)

    def __str__(self) -> str:
        """For people: ``CUDAExecutionProvider 12 nodes; 2 copies of 80 bytes; elsewhere: 'x' (Gather) on ...``."""
        told = ", ".join(f"{name} {count} nodes, {time_us} us" for name, (count, time_us) in self.providers.items())
        copies = sum(one.runs for one in self.copies)
        told += f"; {copies} copies between devices, {self.copied_bytes} bytes"
        wrong = ", ".join(f"{one.label} on {one.provider}" for one in self.elsewhere)
        return told + (f"; not on {self.wanted}: {wrong}" if wrong else "")

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "variant": self.variant,
            "wanted": self.wanted,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "providers": {
                name: {"nodes": count, "time_us": time_us} for name, (count, time_us) in self.providers.items()
            },
            "elsewhere": [one.name for one in self.elsewhere],
            "copied_bytes": self.copied_bytes,
            "copies": [one.to_json() for one in self.copies],
            "nodes": [one.to_json() for one in self.nodes],
        }


def read_profile(
    events: Iterable[Mapping[str, Any]],
    *,
    variant: str,
    wanted: str,
    modules: Mapping[str, str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Placement:
    """The placement that a profile tells.

    Args:
        events: the profile's.
        variant: the variant's key.
        wanted: the provider asked for, in ONNX Runtime's words.
        modules: the source's module by node name.
        shapes: of the inputs of the run.

    Raises:
        ValueError: no node ran.
    """
    found: dict[tuple[str, str, str, str], PlacedNode] = {}
    for event in events:
        name, told = str(event.get("name", "")), event.get("args", {})
        if event.get("cat") != "Node" or not name.endswith(KERNEL) or "provider" not in told:
            continue
        label = name.removesuffix(KERNEL)
        operator, provider = str(told.get("op_name", "")), str(told["provider"])
        # The index alone is not enough: a subgraph counts its nodes from 0, too.
        key = (label, operator, provider, str(told.get("node_index", "")))
        before = found.get(key)
        small = _is_small(told.get("output_type_shape", ()))
        found[key] = PlacedNode(
            name=label,
            operator=operator,
            provider=provider,
            runs=1 + (before.runs if before else 0),
            time_us=int(event.get("dur", 0)) + (before.time_us if before else 0),
            output_bytes=int(told.get("output_size", 0)) + (before.output_bytes if before else 0),
            small=small and (before is None or before.small),
            module=(modules or {}).get(label, ""),
        )
    if not found:
        raise ValueError("the profile tells of no node that ran")
    return Placement(
        variant=variant,
        wanted=wanted,
        nodes=tuple(one for one in found.values() if one.operator not in COPIES),
        copies=tuple(one for one in found.values() if one.operator in COPIES),
        shapes=shapes or {},
    )


def _is_small(outputs: Iterable[Mapping[str, list[int]]]) -> bool:
    """Whether a node gave a few whole numbers or flags, and nothing else."""
    elements, some = 0, False
    for output in outputs:
        for dtype, shape in output.items():
            if dtype not in _WHOLE:
                return False
            size = 1
            for axis in shape:
                size *= axis
            elements, some = elements + size, True
    return some and elements <= SMALL_ELEMENTS
