"""``rnnx quantize``: variants of lower precision within an accuracy budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .progress import lines
from .table import table

if TYPE_CHECKING:
    from ..exporters.quantization.budgets import Budget
    from ..exporters.quantization.results import Quantized


@click.command("quantize")
@click.argument("bundle", type=click.Path())
@click.option("--precision", default="int8", show_default=True, help="What to add: int8 for CPUs, fp16 for GPUs.")
@click.option("--fp16-interface", is_flag=True, help="With fp16: inputs, outputs and states are float16 too.")
@click.option("--budget-sqnr", type=float, metavar="DB", help="Signal to noise to keep, dB; 30 where nothing is said.")
@click.option("--budget-drift", type=float, metavar="SHARE", help="Largest difference over 1,000 steps, such as 1e-2.")
@click.option("--budget", metavar="POINTS", help="What --metric may lose: 0.5% or 0.005 of its own unit.")
@click.option(
    "--metric", metavar="NAME=SOURCE", help="Takes an offline rnnx.Session, returns a number: accuracy=eval.py:score."
)
@click.option("--lower-is-better", is_flag=True, help="The metric counts errors.")
@click.option("--data", metavar="SOURCE", help="What to measure on: FILE.npz or file.py:function. [golden vectors]")
@click.option("-o", "--out", metavar="NAME.rnnx", help="The bundle to write; BUNDLE itself by default.")
@click.option(
    "--log", metavar="FILE", help="Measurements, from which a search goes on. [OUT with .PRECISION-search.json]"
)
@click.option("--force", is_flag=True, help="Replace the bundle at --out, or variants of --precision that BUNDLE has.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(  # noqa: PLR0917  (click passes them by name)
    bundle: str,
    precision: str,
    budget_sqnr: float | None,
    budget_drift: float | None,
    budget: str | None,
    metric: str | None,
    data: str | None,
    out: str | None,
    log: str | None,
    *,
    fp16_interface: bool,
    lower_is_better: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Add to BUNDLE variants in a lower precision: as many nodes as stay within the budget.

    int8 holds weights in 8 bits. fp16 computes in half precision what is safe there; a CPU runs it too, in float32 and
    slower, so load it with --provider cuda. Both may be in one bundle.
    """
    from ..exporters.quantization.budgets import parse_budget
    from ..exporters.quantization.quantize import quantize

    if (metric is None) != (budget is None) or sum(one is not None for one in (budget_sqnr, budget_drift, budget)) > 1:
        raise click.UsageError("give one of --budget-sqnr, --budget-drift, or --budget together with --metric.")
    allowed = parse_budget(
        sqnr=budget_sqnr, drift=budget_drift, points=budget, metric=metric, lower_is_better=lower_is_better
    )
    target = Path(out or bundle)
    made = quantize(
        bundle,
        precision=precision,
        budget=allowed,
        data=data,
        interface=fp16_interface,
        out=out,
        overwrite=force,
        log=log or target.with_name(f"{target.name.removesuffix('.rnnx')}.{precision}-search.json"),
        progress=lines(),
    )
    click.echo(json.dumps(made.to_json(), indent=1) if as_json else _text(made, allowed))


def _text(made: Quantized, budget: Budget) -> str:
    rows = [
        (
            one.name,
            one.operator,
            f"{one.weights:,}",
            one.precision,
            "-" if one.cost is None else made.scale.told(one.cost),
            one.why,
        )
        for one in made.nodes
    ]
    sizes = [
        f"{one.key} {sum(made.bundle.manifest.files[file].size_bytes for file in (one.file, *one.data_files)):,} bytes"
        for one in made.bundle.manifest.variants
    ]
    return "\n".join(
        [
            table(("node", "operator", "weights", "precision", "alone", "why"), rows),
            f"lost on the whole: {budget.told(made.loss)}, allowed is {budget}",
            *_choices(made),
            f"measured on {made.data}, {made.measured} measurements",
            f"wrote {made.bundle.path} ({'; '.join(sizes)})",
        ]
    )


def _choices(made: Quantized) -> list[str]:
    """That the golden vectors are not fp32's, where they are not."""
    entry = made.entry
    if entry.agreement is None or entry.reference is None or entry.reached is None:
        return []
    told = (
        f"what it chooses may be otherwise than fp32's: of the choices in fp32's golden vectors {entry.agreement:.1%} "
        f"are the same. So {made.precision} is proven by the metric ({entry.metric} {entry.reached:.4g}, in fp32 "
        f"{entry.reference:.4g}), and 'rnnx verify' holds it to golden vectors of its own."
    )
    return [told]
