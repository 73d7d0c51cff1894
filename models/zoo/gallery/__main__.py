"""``python -m rnnx.models.zoo.gallery`` (``make gallery``): export every system and let each show what it does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....atomic import write_atomically
from ....errors import MissingDataError
from ....runtime.machine import versions
from ..exporting import export_system
from ..registry import ZOO, entry, figures, reached, system
from .page import page

if TYPE_CHECKING:
    from .exhibit import Exhibit


@click.command()
@click.argument("names", nargs=-1)
@click.option("-o", "--out", default="gallery.html", show_default=True, help="The page to write.")
def main(names: tuple[str, ...], out: str) -> None:
    """Write the gallery of these systems, or of all that have something to show."""
    rooms: list[tuple[str, str, str, Exhibit]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names or ZOO:
            exhibit = system(name).exhibit
            if exhibit is None:
                continue
            click.echo(f"{name} ...", err=True)
            made = export_system(name, Path(folder) / f"{name}.rnnx", int8=False)
            facts = f"{entry(name).architecture}; {reached(figures(name))}; data: {entry(name).data}"
            try:
                rooms.append((name, entry(name).task, facts, exhibit(made.bundle.path)))
            except MissingDataError as error:
                click.echo(f"{name} is left out: {error}", err=True)
    if not rooms:
        raise click.ClickException(f"none of {', '.join(names)} has anything to show.")
    tools = ", ".join(f"{tool} {version}" for tool, version in versions(("rnnx", "onnxruntime", "numpy")).items())
    text = page(rooms, footer=f"Made by 'make gallery' with {tools}.")
    write_atomically(Path(out), text.encode())
    click.echo(f"wrote {out} ({len(rooms)} systems, {len(text) / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
