"""What the machine tells of itself, and what it does not."""

import json

from rnnx.benchmarks.bench import machine


def test_a_description_is_json_and_names_what_decides_speed():
    found = machine.describe()
    assert json.loads(json.dumps(found)) == found
    assert found["cpu"]
    assert found["cores"] >= 1
    assert {"rnnx", "numpy", "onnxruntime"} <= found["versions"].keys()
    assert all(size > 0 for size in found["caches_kib"].values())


def test_caches_are_read_in_kib(tmp_path, monkeypatch):
    for number, (level, kind, size) in enumerate(
        [(1, "Data", "48K"), (1, "Instruction", "32K"), (2, "Unified", "1024K"), (3, "Unified", "32M")]
    ):
        folder = tmp_path / "cache" / f"index{number}"
        folder.mkdir(parents=True)
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{value}\n")
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    assert machine.caches_kib() == {"L1": 48, "L2": 1024, "L3": 32768}
    monkeypatch.setattr(machine, "_CPU", tmp_path / "absent")
    assert machine.caches_kib() == {}


def test_energy_is_that_of_all_packages_and_not_told_where_it_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_ENERGY", tmp_path)
    assert machine.joules() is None
    # Two packages, and a part of the first, which is counted in it already.
    for name, microjoules in (("intel-rapl:0", 3_000_000), ("intel-rapl:1", 500_000), ("intel-rapl:0:0", 1_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{microjoules}\n")
    assert machine.joules() == 3.5


def test_preemptions_only_grow():
    before = machine.preemptions()
    assert before is None or machine.preemptions() >= before >= 0
