"""A second person whom nothing was learned from: how much of his number words a bundle recognises.

``python -m rnnx.models.speech.second speech BUNDLE --data FOLDER`` scores a bundle of a recogniser on the sounds of the
Debian package ``saytime``. They are under the GPL and so are not part of this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ...runtime.session import load
from ..datasets.saytime import number_words
from ..zoo.running import BundleRunner
from .held_out import HeldOut
from .system import SPEECH, SPEECH_STREAMING

if TYPE_CHECKING:
    from ..zoo.system import System

_SYSTEMS: dict[str, tuple[System, Literal["offline", "streaming"]]] = {
    SPEECH.name: (SPEECH, "offline"),
    SPEECH_STREAMING.name: (SPEECH_STREAMING, "streaming"),
}


def second(data: Path | None) -> HeldOut:
    """The recordings.

    Raises:
        MissingDataError: the package is neither installed nor in ``data``.
        AlteredDataError: it is another version.
    """
    words = number_words(data)
    return HeldOut(words=tuple(words), sounds=tuple(words.values()))


@click.command()
@click.argument("name", type=click.Choice(list(_SYSTEMS)))
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where the package was unpacked.")
@click.option("--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True)
def main(name: str, bundle: Path, data: Path | None, precision: Literal["fp32", "int8"]) -> None:
    """Score BUNDLE of the system NAME on the second voice."""
    system, mode = _SYSTEMS[name]
    examples = second(data)
    with load(bundle, provider="cpu", mode=mode, precision=precision) as session:
        found = system.evaluate(BundleRunner(session, system.face), examples)
    click.echo(f"{name}, {precision}: {system.metric.show(found.value)} of {found.count} words")
    for detail, value in found.details.items():
        click.echo(f"  {detail}: {value:.4f}")


if __name__ == "__main__":
    main()
