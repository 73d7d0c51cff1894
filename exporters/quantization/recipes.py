"""What each precision is made of: its candidates, its pass, and what its variants are held to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import LoweringError
from ...manifest import Tolerance
from ...runtime.inputs import Feeder
from ..passes.float16 import Float16Pass
from ..passes.float16_peaks import peaks_of
from ..passes.float16_plan import SAFE, half_candidates
from ..passes.int8 import Int8Pass, candidates
from ..passes.simplify import LIMIT_BYTES, weight_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any

    import onnx_ir as ir
    from numpy.typing import NDArray

    from ...signature import Signature
    from ..passes.int8 import Candidate

INT8, FP16 = "int8", "fp16"
#: What may be asked for.
PRECISIONS = (INT8, FP16)
#: What a user of an fp16 variant should know.
_FP16_NOTE = (
    "The fp16 variants were proven on a CPU: weights and every value between nodes rounded to float16, arithmetic in "
    "float32. 'rnnx verify --provider cuda' repeats the golden vectors with a GPU's own float16."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How variants of a precision are made and judged.

    Attributes:
        precision: ``int8`` or ``fp16``.
        candidates: the nodes that could be taken, and why some cannot.
        convert: an fp32 graph, the names of the nodes to take, whether the graph is the proof's, and which of its
            inputs and outputs are of that precision too; changed in place.
        widest: the widest that a variant may be off anywhere in the golden vectors and the parity matrix, as a share of
            each output's magnitude; beyond it is another model. How much is lost on the whole is for the budget to say.
        margin: a declared tolerance is this many times what was measured, for machines that add up in another order.
        tightest: it is no less than this share.
        eager: whether all nodes are tried together before any is measured alone.
        nudge: by how much of themselves weights are moved where it is asked whether an answer hangs on rounding.
        twin: whether what is measured and proven is a twin of the variant's graph, which keeps roundings that ONNX
            Runtime's CPU provider drops.
        face: of a signature, names of the inputs, outputs and states that are of this precision too, where that is
            asked for.
        interface: whether it is.
        note: what a user should know, or empty.
    """

    precision: str
    candidates: Callable[[ir.Model], list[Candidate]]
    convert: Callable[[ir.Model, Collection[str], bool, Collection[str]], ir.Model]
    widest: Tolerance
    margin: float
    tightest: float
    nudge: float
    eager: bool = False
    twin: bool = False
    face: Callable[[Signature], frozenset[str]] = lambda _: frozenset()
    interface: bool = False
    note: str = ""

    def declared(self, shares: Iterable[float]) -> Tolerance:
        """The tolerance of a variant that was off by these shares of its outputs' magnitudes."""
        wanted = min(max(self.tightest, self.margin * max(shares, default=0.0)), self.widest.atol)
        return replace(self.widest, atol=float(f"{wanted:.2g}"))


def recipe(
    precision: str,
    graph: ir.Model,
    signature: Signature,
    data: Sequence[Mapping[str, NDArray[Any]]],
    *,
    interface: bool = False,
) -> Recipe:
    """The recipe of a precision, one of :data:`PRECISIONS`.

    Args:
        precision: ``int8`` or ``fp16``.
        graph: the fp32 offline graph.
        signature: its face.
        data: batches of inputs, on which fp16 measures how large values become.
        interface: fp16 only: whether inputs, outputs and states are float16 too.

    Raises:
        LoweringError: the graph is too large for its values to be measured.
    """
    if precision == INT8:
        return Recipe(
            precision=INT8,
            candidates=candidates,
            convert=lambda model, names, _proof, _face: Int8Pass(names)(model).model,
            widest=Tolerance(atol=0.5, floor=1e-3),
            margin=2.0,
            tightest=0.01,
            # Whole numbers are multiplied alike everywhere. What differs is how float32 is rounded around them, 1e-6,
            # and then which of two steps an activation falls to.
            nudge=1e-4,
        )
    if weight_bytes(graph) > LIMIT_BYTES // 2:
        raise LoweringError(
            f"the weights are {weight_bytes(graph):,} bytes, and the values of a graph are measured up to "
            f"{LIMIT_BYTES // 2:,}. Take precision 'int8', or keep the model in fp32."
        )
    feeder = Feeder(signature)
    feeds = [feeder.feed(one) for one in data]
    # ONNX Runtime's loops end the process where they have no step.
    peaks = peaks_of(graph, [one for one in feeds if all(array.size for array in one.values())])
    return Recipe(
        precision=FP16,
        candidates=lambda model: half_candidates(model, peaks),
        convert=lambda model, names, proof, face: Float16Pass(names, peaks, face=face, proof=proof)(model).model,
        widest=Tolerance(atol=0.1, floor=1e-3),
        # A GPU adds up in another order, and rounds within its operators where the twin rounds between them.
        margin=4.0,
        tightest=0.005,
        # A float16 is rounded by up to 2**-11 of itself.
        nudge=1e-3,
        eager=True,
        twin=True,
        face=lambda face: half_names(face, peaks),
        interface=interface,
        note=_FP16_NOTE,
    )


def half_names(signature: Signature, peaks: Mapping[str, float]) -> frozenset[str]:
    """Names of the float32 inputs, outputs and states that may be float16; a state's input and output go together.

    Args:
        signature: of a variant.
        peaks: largest finite magnitude of each value by name. An output that holds a mask's -1e9 stays float32.
    """
    names = {one.name for one in (*signature.inputs, *signature.outputs) if one.dtype == "float32"}
    large = {name for name in names if peaks.get(name, 0.0) > SAFE}
    for state in signature.states:
        if {state.name, state.output} & large:
            large |= {state.name, state.output or state.name}
    return frozenset(names - large)
