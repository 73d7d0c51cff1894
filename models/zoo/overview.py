"""The zoo in one Markdown table, from the committed figures: ``python -m rnnx.models.zoo.overview`` prints it.

The README holds this table, and a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .registry import ZOO, figures, metric_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUNNERS = ("torch", "fp32-offline", "int8-offline", "fp32-streaming")
_HEAD = "| system | task | metric | PyTorch | fp32 | int8 | streaming | bundle fp32 / int8 |"


def overview() -> str:
    """A row for each system that was measured."""
    rows = [_HEAD, "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, known in ZOO.items():
        measured = figures(name)
        if measured is None:
            continue
        metric = metric_of(measured)
        by_runner = {one["runner"]: one for one in measured["results"]}
        values = [metric.show(by_runner[one]["value"]) if one in by_runner else "-" for one in _RUNNERS]
        sizes = " / ".join(_size(by_runner, one) for one in ("fp32-offline", "int8-offline"))
        rows.append(f"| `{name}` | {known.task} | {metric.name} | {' | '.join(values)} | {sizes} |")
    return "\n".join(rows)


def _size(results: Mapping[str, Mapping[str, Any]], runner: str) -> str:
    return f"{results[runner]['size_bytes'] / 1e6:.2f} MB" if runner in results else "-"


@click.command()
def main() -> None:
    """Print the table."""
    click.echo(overview())


if __name__ == "__main__":
    main()
