"""``rnnx doctor``: what is installed, what works, and what mends the rest."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import click

from .table import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..runtime.doctor import Diagnosis


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the diagnosis as JSON.")
def command(*, as_json: bool) -> None:
    """Tell what is installed, which providers truly work, and what mends the rest.

    Exit code 0 where at least one provider works and nothing is broken, else 1.
    """
    from ..runtime.doctor import diagnose

    diagnosis = diagnose()
    click.echo(json.dumps(diagnosis.to_json(), indent=1, allow_nan=False) if as_json else _text(diagnosis))
    if not diagnosis.healthy:
        raise SystemExit(1)


def _text(found: Diagnosis) -> str:
    export = {name: version or "not installed" for name, version in found.export.items()}
    facts = {
        "rnnx": f"{found.rnnx}, Python {found.python}, {found.platform}",
        "cpu": f"{found.cpu}, {found.cores} cores",
        "gpu": found.gpu or "no NVIDIA GPU",
        "numpy": found.numpy,
        "onnxruntime": _listing(found.onnxruntime) or "not installed",
        "telemetry": found.telemetry,
        "export": _listing(export) if any(found.export.values()) else "not installed (pip install 'rnnx[export]')",
    }
    width = max(map(len, facts))
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts.items()]
    rows = [
        (one.name, "works" if one.works else "no", "" if one.max_abs_diff is None else one.max_abs_diff)
        for one in found.providers
    ]
    lines += ["", table(("provider", "state", "max_abs_diff from NumPy's LSTM"), rows), ""]
    for other in found.providers:
        lines += _problem(other.name, other.why, other.mend)
    for finding in found.findings:
        lines += _problem("BROKEN" if finding.broken else "advice", finding.what, finding.mend)
    return "\n".join([*lines, "healthy" if found.healthy else "not healthy"])


def _problem(name: str, what: str, mend: str) -> list[str]:
    """What is wrong, folded to the width of a screen, and its mend in one piece, to be copied."""
    folded = textwrap.wrap(f"{name}: {what}", 100, subsequent_indent="  ", break_on_hyphens=False)
    return [*folded, f"  mend: {mend}"] if what and mend else folded if what else []


def _listing(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
