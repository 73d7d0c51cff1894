"""scikit-learn's digits -> `digits.npz`: ``python -m rnnx.models.classics.convert --output digits.npz``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import numpy as np

from ...atomic import write_atomically
from ...bundle import npz_bytes
from ...errors import AlteredDataError, MissingDataError
from ..datasets import digits
from .digits import SCORED


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Archive to write.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Unpacked source of data.")
def main(output: Path, data: Path | None) -> None:
    """Write the held-out digits: ``pixels`` uint8 ``(450, 64)`` and ``labels`` uint8 ``(450,)``."""
    try:
        pixels, labels = digits.load(data)
    except (AlteredDataError, MissingDataError) as error:
        raise click.ClickException(str(error)) from error
    content = npz_bytes({"pixels": pixels[SCORED], "labels": labels[SCORED].astype(np.uint8)})
    write_atomically(output, content)
    click.echo(f"{hashlib.sha256(content).hexdigest()}  {output}")


if __name__ == "__main__":
    main()
