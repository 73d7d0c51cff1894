"""The project's main job on real data: export the speaker model, prove it, and answer from the bundle without torch.

Run ``python -m rnnx.models.speaker.demo`` (``make demo``). The commands that it prints are the ones to type.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch

from . import data
from .evaluate import score
from .model import CHECKPOINT, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@click.command()
@click.option("-o", "--out", default="speaker.rnnx", show_default=True, help="The bundle to write; replaced if there.")
def main(out: str) -> None:
    """Export the speaker model, show its parity, and compare the bundle's answers with PyTorch's."""
    click.echo("1. From the trained PyTorch model to a proven bundle\n")
    source = ["rnnx.models.speaker.model:build", "--checkpoint", str(CHECKPOINT)]
    face = ["--input", "features: float32[batch, time, 12]", "--lengths", "lengths", "--output", "logits"]
    _run(["rnnx", "export", *source, *face, "-o", out, "--force"])
    click.echo("\n2. The proof again, from the bundle's golden vectors, without torch\n")
    _run(["rnnx", "verify", out])
    click.echo("\n3. The 370 held-out utterances, answered by both\n")
    expected = _torch_logits()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "logits.npy"
        _run(["python", "-m", "rnnx.models.speaker.from_bundle", out, str(file)])
        found = np.load(file, allow_pickle=False)
    same = int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
    difference = float(np.abs(expected - found).max())
    click.echo(f"\n{same} of {len(found)} answers are the same; the logits differ by at most {difference:.1e}.")
    if same != len(found):
        raise SystemExit(1)


def _torch_logits() -> npt.NDArray[np.float32]:
    model = load()
    answers: list[npt.NDArray[np.float32]] = []

    def predict(utterances: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        lengths = torch.tensor([len(one) for one in utterances])
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in utterances], batch_first=True)
        with torch.no_grad():
            answers.append(model(padded, lengths).numpy())
        return answers[-1]

    result = score(predict, data.load("test"))
    click.echo(f"PyTorch: {result.correct} of {result.total} right, accuracy {result.accuracy:.2%}")
    return np.concatenate(answers)


def _run(command: Sequence[str]) -> None:
    """Show a command as it is typed, and run it in this environment."""
    click.echo(f"$ {shlex.join(command)}\n")
    start = {"rnnx": [sys.executable, "-m", "rnnx"], "python": [sys.executable]}[command[0]]
    actual = [*start, *command[1:]]
    finished = subprocess.run(actual, check=False)  # noqa: S603  (our own commands)
    if finished.returncode:
        raise SystemExit(finished.returncode)


if __name__ == "__main__":
    main()
