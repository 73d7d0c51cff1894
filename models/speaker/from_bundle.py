"""Answer the held-out utterances from a bundle: NumPy and ONNX Runtime only, as a service would.

Run ``python -m rnnx.models.speaker.from_bundle speaker.rnnx logits.npy``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import numpy as np

from ...runtime.session import load as load_bundle
from . import data
from .evaluate import score

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@click.command()
@click.argument("bundle", type=click.Path(exists=True))
@click.argument("output", type=click.Path())
def main(bundle: str, output: str) -> None:
    """Run BUNDLE on the held-out split, print its accuracy, and write its logits to OUTPUT (.npy)."""
    test = data.load("test")
    answers: list[npt.NDArray[np.float32]] = []
    with load_bundle(bundle) as session:

        def predict(utterances: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
            # A list of arrays of different lengths is a ragged batch: the session pads it and tells the lengths.
            answers.append(session.run({"features": list(utterances)})["logits"])
            return answers[-1]

        result = score(predict, test)
        provider = session.provider_report
    np.save(output, np.concatenate(answers))
    click.echo(f"bundle on {provider}: {result.correct} of {result.total} right, accuracy {result.accuracy:.2%}")
    click.echo(f"torch in this process: {'yes' if 'torch' in sys.modules else 'no'}")


if __name__ == "__main__":
    main()
