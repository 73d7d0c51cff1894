"""``rnnx inspect``: what a bundle holds."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import click

from ..errors import TaskError
from ..manifest import variant_key
from .table import table

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..manifest import Manifest
    from ..signature import Signature


#: Bytes of one element.
_BYTES = {
    "float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "int16": 2, "int8": 1, "uint8": 1, "bool": 1
}  # fmt: skip


@click.command("inspect")
@click.argument("bundle", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def command(bundle: str, *, as_json: bool) -> None:
    """Show the signature, variants, origin and files of BUNDLE. Its files' hashes are checked."""
    from ..bundle import Bundle

    opened = Bundle.open(bundle)
    opened.check()
    click.echo(json.dumps(opened.manifest.to_json(), indent=1) if as_json else _text(opened))


def _text(bundle: Bundle) -> str:
    manifest = bundle.manifest
    parts = [
        f"{manifest.name} ({bundle.path}), SHA-256 {bundle.sha256[:16]}",
        *_task(bundle),
        _face(manifest),
        _variants(manifest),
        *([_tuned(manifest)] if manifest.tuned else []),
        table(
            ("file", "bytes", "SHA-256"),
            [(name, entry.size_bytes, entry.sha256[:16]) for name, entry in manifest.files.items()],
        ),
    ]
    origin = [(key, value) for key, value in manifest.source.items() if value not in ({}, "")]
    if origin:
        parts.append("source\n" + "\n".join(f"  {key}: {_plain(value)}" for key, value in origin))
    parts.append("made by " + ", ".join(f"{tool} {version}" for tool, version in manifest.tools.items()))
    if manifest.notes:
        parts.append("\n".join(manifest.notes))
    return "\n\n".join(parts)


def _task(bundle: Bundle) -> list[str]:
    from ..runtime.tasks.description import FILE
    from ..runtime.tasks.task import bundle_description
    from .task_run import describe

    if FILE not in bundle.assets:
        return []
    try:
        return [describe(bundle_description(bundle), bundle)]
    except TaskError as error:  # one of a newer rnnx, say: the rest is still worth being seen
        return [f"task: {error}"]


def _face(manifest: Manifest) -> str:
    faces = [_signature("signature", manifest.signature)]
    for one in manifest.variants:
        if one.signature is not None:
            chunks = f"\n{one.chunks}" if one.chunks is not None else ""
            faces.append(_signature(f"signature of {one.key}", one.signature) + chunks)
    return "\n\n".join(faces)


def _signature(title: str, signature: Signature) -> str:
    kinds = {one.name: f"lengths of {one.axis}" for one in signature.lengths} | {
        one.name: f"state, starts at {one.initial}" + f", {one.meaning}" * bool(one.meaning) for one in signature.states
    }
    rows = [("input", str(spec), kinds.get(spec.name, "")) for spec in signature.inputs]
    rows += [("output", str(spec), "") for spec in signature.outputs]
    rows += [("axis", str(one), "") for one in signature.ranges]
    sizes = [
        math.prod(axis for axis in signature.input(one.name).axes if isinstance(axis, int))
        * _BYTES[signature.input(one.name).dtype]
        for one in signature.states
        if one.output is not None
    ]
    total = f"\n{sum(sizes)} bytes of state a stream" if sizes else ""
    return table(("", title, ""), rows) + total


def _variants(manifest: Manifest) -> str:
    lines = [
        table(
            ("variant", "file", "opset", "operators"),
            [
                (one.key, one.file, one.opset, " ".join(f"{kind}:{count}" for kind, count in one.operators.items()))
                for one in manifest.variants
            ],
        )
    ]
    lines += [f"{one.key}: {one.quantization}" for one in manifest.variants if one.quantization is not None]
    return "\n".join(lines)


def _tuned(manifest: Manifest) -> str:
    return table(
        ("tuned for", "mode", "machine", "provider", "variant", "settings", "over the default"),
        [
            (
                one.label,
                one.mode,
                one.machine,
                one.provider,
                variant_key(one.precision, one.mode, one.form),
                one.settings,
                f"{one.measured.ratio:.2f} [{one.measured.low:.2f}, {one.measured.high:.2f}]",
            )
            for one in manifest.tuned
        ],
    )


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items())
    return str(value)
