"""One graph of a bundle that was made from another one: checked, stripped, and written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from ..errors import LoweringError
from .passes.compact import strip
from .passes.simplify import LIMIT_BYTES, weight_bytes

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from ..manifest import Variant


def save_variant(graph: ir.Model, folder: Path, variant: Variant, *, keep: Collection[str] | None = None) -> Variant:
    """Write the graph of a variant, with large weights in a file of their own.

    Args:
        graph: the graph.
        folder: where the bundle is being made.
        variant: what it is; its key names the file.
        keep: keys of the metadata that stay where names and notes that nobody reads are left out; None to leave all in.

    Returns:
        The variant with its files and operators.

    Raises:
        LoweringError: the ONNX checker rejects the graph.
    """
    file = f"{variant.key}.onnx"
    data_files: tuple[str, ...] = ()
    if weight_bytes(graph) > LIMIT_BYTES // 2:
        data_files = (f"{file}.data",)
        ir.save(graph, folder / file, external_data=data_files[0])
    else:
        proto = ir.to_proto(graph)
        try:
            onnx.checker.check_model(proto, full_check=True)
        except Exception as error:
            raise LoweringError(f"the ONNX checker rejects '{variant.key}': {error}") from error
        if keep is not None:
            kept = [(one.key, one.value) for one in proto.metadata_props if one.key in keep]
            strip(proto)
            for key, value in kept:
                proto.metadata_props.add(key=key, value=value)
        (folder / file).write_bytes(proto.SerializeToString(deterministic=True))
    operators = Counter(node.op_type for node in graph.graph.all_nodes())
    return replace(variant, file=file, operators=operators, data_files=data_files)
