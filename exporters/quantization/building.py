"""A set of nodes becomes variants on disk: the files, their checks, and the manifest around them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from ...bundle import write_manifest
from ...manifest import GOLDEN, STATES, Manifest
from ..passes.compact import CompactPass
from ..saving import save_variant
from ..streaming import CHUNKS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from ...bundle import Bundle
    from ...manifest import Tolerance, Variant
    from ...signature import Signature, TensorSpec
    from .recipes import Recipe


def read_graph(bundle: Bundle, variant: Variant) -> ir.Model:
    """The graph of a variant; its weights are read when they are needed."""
    return ir.load(bundle.path / variant.file)


def build(
    bundle: Bundle,
    folder: Path,
    variants: Sequence[Variant],
    names: Collection[str],
    recipe: Recipe,
    *,
    tolerance: Tolerance | None = None,
    proof: bool = False,
    interface: bool = False,
    golden: Mapping[str, bytes] | None = None,
) -> list[Variant]:
    """Write the variants with these nodes in the lower precision, as a bundle with its golden vectors, into a folder.

    Args:
        bundle: the fp32 bundle.
        folder: where to write; files of the same names are replaced.
        variants: the fp32 variants, offline and streaming.
        names: nodes of the offline graph; the streaming one has them under the same names.
        recipe: of the precision.
        tolerance: what the variants are held to; the widest of the precision by default.
        proof: whether to write what is proven, see :attr:`.recipes.Recipe.twin`, in place of the variants themselves.
        interface: whether inputs, outputs and states are of that precision too.
        golden: by the key of the variant golden vectors of its own, where it has them.

    Raises:
        LoweringError: the ONNX checker rejects what was made.
    """
    made = []
    for variant in variants:
        graph = read_graph(bundle, variant)
        there = {one.name for one in recipe.candidates(graph) if not one.refusal}
        face = variant.signature or bundle.manifest.signature
        half = recipe.face(face) if interface else frozenset()
        converted = recipe.convert(graph, there.intersection(names), proof and recipe.twin, half)
        lower = replace(variant, precision=recipe.precision)
        # What the chunks of a stream must be stays in the file, for those who run it without a manifest.
        new = save_variant(CompactPass()(converted).model, folder, lower, keep=[CHUNKS])
        signature = half_face(face, half) if interface else variant.signature
        new = replace(new, tolerance=tolerance or recipe.widest, signature=signature)
        if golden and new.key in golden:
            new = replace(new, golden=f"{new.key}.{GOLDEN}")
            (folder / new.golden).write_bytes(golden[new.key])
        made.append(new)
    write_bundle(bundle, folder, made)
    return made


def write_bundle(bundle: Bundle, folder: Path, made: Sequence[Variant]) -> None:
    """Write what stands around variants whose graphs are in a folder: golden vectors, states and the manifest."""
    for name in (GOLDEN, STATES):
        if name in bundle.manifest.files:
            (folder / name).write_bytes(bundle.read(name))
    manifest = bundle.manifest
    write_manifest(
        folder,
        Manifest(name=manifest.name, signature=manifest.signature, variants=tuple(made), source=manifest.source),
    )


def half_face(signature: Signature, names: Collection[str]) -> Signature:
    """A signature whose inputs, outputs and states of these names are float16."""

    def half(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(replace(one, dtype="float16") if one.name in names else one for one in specs)

    return replace(signature, inputs=half(signature.inputs), outputs=half(signature.outputs))
