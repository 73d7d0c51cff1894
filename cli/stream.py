"""``rnnx stream``: any ONNX file as one that runs chunk by chunk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .parity import parity_table
from .table import table

if TYPE_CHECKING:
    from ..exporters.stream_file import Streamed


@click.command("stream")
@click.argument("model", type=click.Path())
@click.option("-o", "--out", required=True, metavar="FILE.onnx", help="The streaming graph to write.")
@click.option("--time", default="time", show_default=True, metavar="AXIS", help="Name of the axis to cut into chunks.")
@click.option("--force", is_flag=True, help="Replace a file that stands there.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(model: str, out: str, time: str, *, force: bool, as_json: bool) -> None:
    """Make MODEL, an ONNX file by any exporter, take its states in and give them out.

    The file is written only if every way of cutting a sequence gives MODEL's own answers.
    """
    from ..exporters.stream_file import stream_file

    streamed = stream_file(model, out, time=time, overwrite=force)
    click.echo(json.dumps(_json(streamed), indent=1) if as_json else _text(streamed))


def _text(streamed: Streamed) -> str:
    rows = [
        (streamed.signature.input(state.name), state.output or "-", state.initial, state.meaning)
        for state in streamed.signature.states
    ]
    chunks = f"\n{streamed.chunks}" if streamed.chunks is not None else ""
    beside = f" and {streamed.states_file}" if streamed.states_file else ""
    return (
        f"{parity_table(streamed.parity)}\n\n{table(('state', 'given as', 'starts at', 'meaning'), rows)}{chunks}\n"
        f"wrote {streamed.file}{beside}"
    )


def _json(streamed: Streamed) -> dict[str, object]:
    return {
        "file": str(streamed.file),
        "states_file": str(streamed.states_file) if streamed.states_file else None,
        "signature": streamed.signature.to_json(),
        "chunks": None if streamed.chunks is None else streamed.chunks.to_json(),
        "parity": streamed.parity.to_json(),
    }
