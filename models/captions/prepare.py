"""Make `sprites.npz` again from the package: `python -m rnnx.models.captions.prepare --data FOLDER`."""

from __future__ import annotations

import io
from pathlib import Path

import click
import numpy as np

from ...atomic import write_atomically
from .things import SPRITES, make_sprites


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the unpacked package, if not installed.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; none: compare only.")
def main(data: Path | None, output: Path | None) -> None:
    """Compare the committed pictures with the package's, and write them."""
    content = make_sprites(data)
    if output is not None:
        write_atomically(output, content)
        click.echo(f"{output} written")
        return
    with np.load(io.BytesIO(content)) as here, np.load(SPRITES) as committed:
        if not np.array_equal(here["rgba"], committed["rgba"]):
            raise click.ClickException("the committed pictures are not the package's.")
    click.echo("the committed pictures are the package's")


if __name__ == "__main__":
    main()
