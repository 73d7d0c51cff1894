"""Every system of the zoo keeps what its card says, from its committed weights to its bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from rnnx.bundle import Bundle
from rnnx.errors import MissingDataError
from rnnx.models.zoo import exporting
from rnnx.models.zoo.cards import card
from rnnx.models.zoo.evaluating import evaluate_bundle, system_of
from rnnx.models.zoo.overview import overview
from rnnx.models.zoo.registry import ZOO, card_file, entry, figures, system

ROOT = Path(__file__).parents[3]
#: Largest committed checkpoint, in bytes.
LARGEST = 5_000_000


@pytest.mark.parametrize("name", ZOO)
def test_a_system_has_weights_a_card_and_a_licence(name):
    known = system(name)
    home = known.home
    assert known.name == name
    assert known.checkpoint.stat().st_size < LARGEST
    assert (home / "DATA.md").is_file(), "where the data comes from, its licence, and how the checkpoint was made"
    measured = figures(name)
    assert measured is not None, f"python -m rnnx.models.zoo.cards {name}"
    written = card_file(name).with_suffix(".md").read_text(encoding="utf-8")
    assert written == card(name, entry(name), measured, known), f"python -m rnnx.models.zoo.cards --text {name}"
    first = measured["results"][0]
    assert first["runner"] == "torch"
    assert measured["checkpoint_bytes"] == known.checkpoint.stat().st_size


@pytest.mark.parametrize("name", ZOO)
def test_the_weights_are_the_models_own(name):
    known = system(name)
    with safe_open(known.checkpoint, "pt") as stored:
        facts = json.loads(stored.metadata()["rnnx"])
        shapes = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118
    assert facts
    assert shapes == {key: tuple(value.shape) for key, value in known.build().state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_the_bundle_scores_what_the_card_says(name, zoo_bundle):
    known = system(name)
    try:
        known.held_out()
    except MissingDataError as error:
        pytest.skip(str(error))
    found = {one.runner: one.score for one in evaluate_bundle(zoo_bundle(name), provider="cpu").results}
    said = {one["runner"]: one for one in figures(name)["results"]}
    assert {runner for runner in said if not runner.startswith("int8")} == found.keys()
    # Another processor rounds otherwise, which may turn a close call; a share of the examples, or of the value.
    slack = max(0.005 * abs(said["torch"]["value"]), 2.0 / said["torch"]["count"])
    for runner, score in found.items():
        assert score.value == pytest.approx(said[runner]["value"], abs=slack), runner
        assert score.value == pytest.approx(found["torch"].value, abs=slack), runner
        assert score.count == said[runner]["count"]


@pytest.mark.parametrize("name", ZOO)
def test_int8_lost_no_more_than_its_budget(name):
    known, measured = system(name), figures(name)
    values = {one["runner"]: one["value"] for one in measured["results"]}
    if known.int8_budget is None or "int8-offline" not in values:
        assert known.int8_budget is None or measured["notes"], "an int8 variant is missing and nothing says why"
        return
    sign = 1 if known.metric.higher_is_better else -1
    # The search may have used a quicker score than the whole; both are within half of a budget of each other.
    assert sign * (values["fp32-offline"] - values["int8-offline"]) <= 1.5 * known.int8_budget + 1e-9


def test_the_readme_holds_the_measured_table():
    assert overview() in (ROOT / "README.md").read_text(encoding="utf-8"), "python -m rnnx.models.zoo.overview"


def test_a_bundle_is_exported_once_for_all_tests(zoo_bundle, monkeypatch):
    path = zoo_bundle("policy")

    def again(*_arguments, **_options):
        raise AssertionError("it was exported already")

    monkeypatch.setattr(exporting, "export_system", again)
    assert zoo_bundle("policy") == path
    assert system_of(Bundle.open(path)) == "policy"
    assert not path.with_suffix(".claimed").exists()
