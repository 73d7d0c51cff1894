"""aeon's test signals -> `held_out.npz`: `python -m rnnx.models.anomaly.convert --output held_out.npz`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from ..datasets.anomalies import load_signals
from ..speaker.convert import write
from .recipe import ECG

_WHICH: tuple[Literal["ecg", "bleeding"], ...] = ("ecg", "bleeding")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="An unpacked aeon wheel.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Archive to write.")
def main(data: Path | None, output: Path) -> None:
    """Write the test signals, their labels, and from where on they count."""
    arrays: dict[str, Any] = {}
    for which in _WHICH:
        parts = load_signals(which, data)
        test = parts["test"]
        # The blood pressure's test signal begins with the one that was learned from.
        same = np.array_equal(test.values[: len(parts["sound"].values)], parts["sound"].values)
        arrays[f"{which}_signal"] = test.values
        arrays[f"{which}_anomalous"] = test.anomalous
        arrays[f"{which}_first"] = np.array(len(parts["sound"].values) if same else ECG.warmup, dtype=np.int64)
    write(arrays, output)


if __name__ == "__main__":
    main()
