"""``rnnx export``: from a PyTorch model to a proven bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SignatureError
from ..signature import parse_tensor
from .parity import parity_table
from .progress import stages

if TYPE_CHECKING:
    from ..exporters import Exported

#: Stages that :func:`rnnx.exporters.export` announces: seven to the graph, two proofs, and the writing.
_STAGES = 10


def _declarations(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The declarations as they stand, after they were found to be some."""
    for text in texts:
        try:
            parse_tensor(text)
        except SignatureError as error:
            raise click.BadParameter(str(error)) from error
    return texts


def _ranges(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[int, int | None]]:
    found: dict[str, tuple[int, int | None]] = {}
    for text in texts:
        axis, _, limits = text.partition("=")
        low, separator, high = limits.partition(":")
        if not (axis and separator and low.isdecimal() and (high.isdecimal() or not high)):
            raise click.BadParameter(
                f"'{text}' must be AXIS=MIN:MAX, such as 'time=1:64', or 'time=5:' without a limit."
            )
        found[axis.strip()] = (int(low), int(high) if high else None)
    return found


def _sizes(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        axis, _, size = text.partition("=")
        if not (axis and size.isdecimal() and int(size) > 0):
            raise click.BadParameter(f"'{text}' must be AXIS=SIZE, such as 'time=12'.")
        found[axis.strip()] = int(size)
    return found


def _assets(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not (name and file):
            raise click.BadParameter(f"'{text}' must be NAME=FILE, such as 'task.json=build/task.json'.")
        if name in found:
            raise click.BadParameter(f"the asset '{name}' is given twice. Give it once.")
        try:
            found[name] = Path(file).read_bytes()
        except OSError as error:
            raise click.BadParameter(f"'{file}' cannot be read: {error.strerror}.") from error
    return found


@click.command("export")
@click.argument("source", metavar="SOURCE")
@click.option("--init", multiple=True, metavar="KEY=VALUE", help="An argument for the source's callable. Repeatable.")
@click.option("--checkpoint", metavar="FILE", help="Weights: .pt, .pth, .ckpt, .bin or .safetensors.")
@click.option("--trust-pickle", is_flag=True, help="Let the checkpoint run code while it is read.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    callback=_declarations,
    metavar="DECLARATION",
    help="'features: float32[batch, time, 40]', 'tokens: int64[batch, time] < 5000', 'h_0 -> hx.0: ...'. Repeatable.",
)
@click.option("--lengths", multiple=True, metavar="NAME[:AXIS]", help="The input that holds each row's length.")
@click.option(
    "--state",
    "states",
    multiple=True,
    callback=_declarations,
    metavar="DECLARATION",
    help="An input that recurs; zeros if absent.",
)
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="Names of the outputs, in order. Repeatable.")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    callback=_ranges,
    metavar="AXIS=MIN:MAX",
    help="Sizes that an axis may have.",
)
@click.option(
    "--example", multiple=True, callback=_sizes, metavar="AXIS=SIZE", help="A size for the example that is traced."
)
@click.option("-o", "--out", required=True, metavar="NAME.rnnx", help="The bundle to write.")
@click.option("--name", help="The model's name; the folder's by default.")
@click.option("--opset", type=int, default=20, show_default=True, help="Version of the ONNX operators, 17 and later.")
@click.option("--no-simplify", is_flag=True, help="Do not ask onnxsim.")
@click.option(
    "--streaming",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="A second variant that runs chunk by chunk: where the model allows it, always, or never.",
)
@click.option(
    "--asset",
    "assets",
    multiple=True,
    callback=_assets,
    metavar="NAME=FILE",
    help="A file that travels in the bundle, such as task.json=FILE, which says what it is for. Repeatable.",
)
@click.option("--force", is_flag=True, help="Replace a bundle that stands there.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(  # noqa: PLR0917  (click passes them by name)
    source: str,
    init: tuple[str, ...],
    checkpoint: str | None,
    inputs: tuple[str, ...],
    lengths: tuple[str, ...],
    states: tuple[str, ...],
    outputs: tuple[str, ...],
    ranges: dict[str, tuple[int, int | None]],
    example: dict[str, int],
    out: str,
    name: str | None,
    opset: int,
    streaming: str,
    assets: dict[str, bytes],
    *,
    trust_pickle: bool,
    no_simplify: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Export SOURCE, 'path/file.py:callable' or 'package.module:callable', as a proven bundle.

    The bundle is written only if the ONNX graph gives the model's answers over the whole parity matrix.
    """
    from ..bundle import check_target

    check_target(out, overwrite=force)  # before torch is imported and the source runs
    from ..exporters import export, load_source
    from ..exporters.source import parse_init

    loaded = load_source(source, init=parse_init(init), checkpoint=checkpoint, trust_pickle=trust_pickle)
    with stages(_STAGES) as progress:
        exported = export(
            loaded.module,
            inputs=inputs,
            lengths=lengths,
            states=states,
            outputs=outputs or None,
            ranges=ranges,
            example=example,
            out=out,
            name=name,
            opset=opset,
            simplify=not no_simplify,
            streaming=streaming,
            overwrite=force,
            origin=loaded.origin,
            assets=assets,
            progress=progress,
        )
    click.echo(json.dumps(_json(exported), indent=1) if as_json else _text(exported))


def _text(exported: Exported) -> str:
    manifest = exported.bundle.manifest
    variants = ", ".join(variant.key for variant in manifest.variants)
    return "\n".join(
        [
            *(f"{parity_table(one)}\n" for one in (exported.parity, exported.streaming) if one is not None),
            *manifest.notes,
            f"wrote {exported.bundle.path} ({variants}; opset {manifest.variants[0].opset})",
        ]
    )


def _json(exported: Exported) -> dict[str, object]:
    return {
        "bundle": str(exported.bundle.path),
        "sha256": exported.bundle.sha256,
        "notes": list(exported.bundle.manifest.notes),
        "parity": exported.parity.to_json(),
        "streaming": None if exported.streaming is None else exported.streaming.to_json(),
    }
