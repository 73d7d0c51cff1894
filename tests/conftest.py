"""What every test shares. Models and bundles are built in the conftest.py of the folder that needs them."""

from __future__ import annotations

import os
from pathlib import Path

# The suite runs in as many processes as there are cores. Threads of torch's own in each would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

import rnnx

ROOT = Path(__file__).parents[1]

# No deadline: the first example pays for imports and for the first session. The same examples on every run: a failure
# in CI must be one that its reader can repeat.
hypothesis.settings.register_profile("rnnx", deadline=None, derandomize=True)
hypothesis.settings.load_profile("rnnx")


class RootIsNoTestPackage:
    """The root holds an `__init__.py`, for which pytest would import it again under the checkout's own name."""

    @staticmethod
    def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Dir | None:
        """Collect the root as a plain folder."""
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    """Register what a conftest.py, which is asked about its own folder only, cannot answer."""
    config.pluginmanager.register(RootIsNoTestPackage())


def pytest_report_header() -> str:
    """Say which rnnx is tested: an editable installation belongs to one checkout, and a copied one brings it along."""
    return f"rnnx {rnnx.__version__} from {Path(rnnx.__file__).parent}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, which is also the package's folder."""
    return ROOT
