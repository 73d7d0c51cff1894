"""Draw `held_out.npz` again from the fonts: `python -m rnnx.models.lines.prepare --data FOLDER`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from ...atomic import write_atomically
from .data import HELD_OUT, make_held_out, unpack


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the unpacked packages, if not installed.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; none: compare only.")
def main(data: Path | None, output: Path | None) -> None:
    """Compare the committed lines with what the fonts give here, and write them."""
    content = make_held_out(data)
    if output is not None:
        write_atomically(output, content)
        click.echo(f"{output} written")
        return
    here, committed = unpack(content), unpack(HELD_OUT.read_bytes())
    if [line.text for line in here] != [line.text for line in committed]:
        raise click.ClickException("the committed lines do not say what the book and the recipe give here.")
    alike = sum(np.array_equal(one.image, other.image) for one, other in zip(here, committed, strict=True))
    click.echo(f"{len(here)} lines say the same; {alike} have the same pixels, the others another FreeType's")


if __name__ == "__main__":
    main()
