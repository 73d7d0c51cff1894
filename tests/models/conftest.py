"""The bundles of the zoo: each is exported at most once in a run, whichever of the run's processes asks first."""

from __future__ import annotations

import os
import time

import pytest

#: Seconds that a process waits for another one's export; none takes a tenth of it on an idle core.
PATIENCE = 300


@pytest.fixture(scope="session")
def zoo_bundle(tmp_path_factory):
    """The path of a system's bundle by its name, without int8. It is all tests' own: read it, and change a copy."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # each process has a folder of its own in it
    folder /= "zoo"
    folder.mkdir(exist_ok=True)

    def bundle(name):
        from rnnx.models.zoo.exporting import export_system

        path, claim = folder / f"{name}.rnnx", folder / f"{name}.claimed"
        end = time.monotonic() + PATIENCE
        while not path.exists():  # it appears whole
            try:
                claim.open("x").close()
            except FileExistsError:
                assert time.monotonic() < end, f"the process that exports '{name}' has not done so in {PATIENCE} s"
                time.sleep(0.1)
                continue
            try:
                if not path.exists():
                    export_system(name, path, int8=False)
            finally:
                claim.unlink()  # after a failure the next one tries, and fails by itself
        return path

    return bundle
