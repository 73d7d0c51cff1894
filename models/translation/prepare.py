"""Make the committed files again from the catalogues: `python -m rnnx.models.translation.prepare --output FOLDER`."""

from __future__ import annotations

from pathlib import Path

import click

from ...atomic import write_atomically
from . import held_out, pieces, vocabulary
from .recipe import load
from .texts import grouped

#: Tokens in all, the special ones included.
_VOCABULARY = 2000


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the unpacked packages, if not installed.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Where to write; none: compare only.")
def main(data: Path | None, output: Path | None) -> None:
    """Compare the committed pieces and held-out texts with those of the catalogues, and write them."""
    parts = load(data)
    for part, pairs in parts.items():
        click.echo(f"{part}: {len(pairs)} pairs")
    asked = grouped(parts["held-out"])
    texts = [text for pair in parts["train"] for text in (pair.english, pair.french)]
    table = vocabulary.learn(texts, _VOCABULARY - pieces.SPECIAL)
    same = asked == held_out.load(), table == pieces.symbols()[pieces.SPECIAL :]
    if not all(same):
        which = " and ".join(what for what, fits in zip(("texts", "pieces"), same, strict=True) if not fits)
        raise click.ClickException(f"the committed {which} are not those of the catalogues.")
    click.echo(f"{len(asked)} held-out texts and {len(table)} pieces: the committed ones are the same")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / held_out.HELD_OUT.name, held_out.pack(asked))
        write_atomically(output / pieces.TABLE.name, "".join(f"{piece}\n" for piece in table).encode())


if __name__ == "__main__":
    main()
