"""Every recurrent option, every cell, loop and decoder against PyTorch: a table of differences and operators.

Run ``python -m rnnx.benchmarks.coverage > benchmarks/notes/coverage.md``. An option that fails stops the run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from ..exporters import Exported, export
from .cell_cases import cell_cases
from .layer_cases import LayerCase, layer_cases, seeded
from .loop_cases import loop_cases
from .seq2seq_cases import seq2seq_cases
from .stream_cases import stream_cases


@click.command()
@click.option("--only", default="", help="Only cases whose name contains this.")
def main(only: str) -> None:
    """Export every case and print a Markdown table."""
    click.echo("| model | cases | max_abs_diff | in chunks | operators |\n| --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for case in (*layer_cases(), *cell_cases(), *loop_cases(), *seq2seq_cases(), *stream_cases()):
            if only in case.name:
                exported = export_case(case, Path(folder) / "case.rnnx")
                click.echo(_line(case, exported))
                sys.stdout.flush()


def export_case(case: LayerCase, out: Path) -> Exported:
    """Export one case, replacing what stands at ``out``."""
    return export(
        seeded(case),
        inputs=case.inputs,
        lengths=case.lengths,
        states=case.states,
        example=case.example,
        out=out,
        overwrite=True,
    )


def _line(case: LayerCase, exported: Exported) -> str:
    rows = exported.parity.rows
    operators = " ".join(f"{kind}:{n}" for kind, n in exported.bundle.manifest.variants[0].operators.items())
    worst = max(row.max_abs_diff for row in rows)
    streamed = exported.streaming
    chunks = "-" if streamed is None else f"{max(row.max_abs_diff for row in streamed.rows):.1e}"
    return f"| {case.name} | {len({row.case for row in rows})} | {worst:.1e} | {chunks} | {operators} |"


if __name__ == "__main__":
    main()
