"""The form of the JSON, what the page and the table hold, agreement and roofline."""

import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rnnx.benchmarks.bench.agreement import agreement, wider
from rnnx.benchmarks.bench.ceilings import Ceilings, Level, measure_ceilings
from rnnx.benchmarks.bench.page import page
from rnnx.benchmarks.bench.report import SCHEMA_VERSION, Skipped, Taken
from rnnx.benchmarks.bench.resources import Resources
from rnnx.benchmarks.bench.roofline import roofline
from rnnx.benchmarks.bench.svg import linear_scale, log_scale, number
from rnnx.cli.bench_table import bench_text
from rnnx.exporters.counting import GraphCost, NodeCost
from rnnx.manifest import Tolerance
from rnnx.signature import LengthsSpec, Signature, parse_tensor

ROUNDS = [[1_000_000, 1_100_000, 1_050_000]] * 5
FASTER = [[500_000, 550_000, 525_000]] * 5

#: Every key of the JSON, as `path`, or `path[]` for the entries of a list. What is here may not go or be renamed
#: without a new SCHEMA_VERSION.
KEYS = """
bundle bundle.name bundle.path bundle.sha256 ceilings ceilings[].first_bytes ceilings[].float_gops
ceilings[].int8_gops ceilings[].levels ceilings[].levels[].gb_per_s ceilings[].levels[].name
ceilings[].levels[].up_to_bytes ceilings[].threads created machine machine.affinity machine.caches_kib
machine.caches_kib.L1 machine.caches_kib.L2 machine.cores machine.cpu machine.environment machine.flags machine.governor
machine.gpu machine.load_before machine.memory_gib machine.python machine.system machine.versions
machine.versions.onnxruntime machine.versions.rnnx passed request resources resources[].candidate
resources[].disk_bytes resources[].engine resources[].first_ms resources[].form
resources[].import_ms resources[].load_ms
resources[].mode resources[].own_mib resources[].peak_mib resources[].precision resources[].provider
resources[].resident_mib resources[].sizes resources[].sizes.time resources[].threads rows rows[].agreement
rows[].agreement.agrees rows[].agreement.allowed rows[].agreement.max_abs_diff rows[].agreement.reason
rows[].agreement.sqnr_db rows[].batch rows[].candidate rows[].disturbed rows[].engine rows[].form rows[].frames_per_s
rows[].is_reference rows[].joules rows[].key rows[].latency_ms rows[].latency_ms.maximum rows[].latency_ms.mean
rows[].latency_ms.minimum rows[].latency_ms.p50 rows[].latency_ms.p95 rows[].latency_ms.p99 rows[].latency_ms.runs
rows[].latency_ms.spread rows[].mode rows[].noise rows[].note rows[].precision rows[].preempted rows[].provider
rows[].ratio rows[].ratio.high rows[].ratio.low rows[].ratio.value rows[].real_time_factor rows[].roofline
rows[].roofline.float_ops rows[].roofline.fraction rows[].roofline.int8_ops rows[].roofline.intensity
rows[].roofline.least_ms rows[].roofline.limit rows[].roofline.other_ops rows[].roofline.total_bytes
rows[].roofline.weight_bytes rows[].rounds_ms rows[].sequences_per_s rows[].sizes rows[].sizes.batch rows[].sizes.time
rows[].threads rows[].time rows[].warm_up rows[].warm_up.runs rows[].warm_up.seconds rows[].warm_up.stable schema
schema_version seconds skipped skipped[].candidate skipped[].failed skipped[].reason skipped[].where
"""


def keys(data, at=""):
    if isinstance(data, dict):
        for key, value in data.items():
            path = f"{at}.{key}" if at else key
            yield path
            yield from keys(value, path)
    elif isinstance(data, list):
        for value in data:
            yield from keys(value, f"{at}[]")


@pytest.fixture
def report(build):
    """Two candidates at three times and two batches, one of them wrong, and one that was left out."""
    rows = []
    for batch in (1, 4):
        for time in (1, 10, 100):
            rows.append(build.row("rnnx", FASTER, ROUNDS, batch=batch, time=time))
            rows.append(build.row("onnxruntime", ROUNDS, ROUNDS, is_reference=True, batch=batch, time=time, error=0.0))
            rows.append(build.row("openvino", ROUNDS, ROUNDS, batch=batch, time=time, agrees=False, error=2e-3))
    resources = Resources(
        import_ms=1.0, load_ms=2.0, first_ms=3.0, resident_mib=50.0, peak_mib=60.0, own_mib=None, disk_bytes=4096
    )
    return build.report(
        rows,
        resources=(Taken(spec=rows[0].spec, sizes={"time": 100}, resources=resources),),
        skipped=(
            Skipped(candidate="torch", where="offline, 1 thread", reason="<not> installed & so on", failed=False),
        ),
    )


def test_the_form_of_the_json_is_stable(report):
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(keys(data)) == set(KEYS.split())
    assert (data["schema"], data["schema_version"]) == ("rnnx-bench", SCHEMA_VERSION) == ("rnnx-bench", 1)
    assert data["rows"][0]["key"] == "rnnx fp32 | offline, 1 thread, batch 1, time 1"
    assert data["rows"][0]["ratio"]["value"] == pytest.approx(2.0)
    assert data["rows"][0]["rounds_ms"] == [0.525] * 5


def test_numbers_that_json_has_no_word_for_are_null(build):
    row = build.row("rnnx", ROUNDS, ROUNDS, error=math.inf)
    told = replace(row.agreement, sqnr_db=-math.inf).to_json()
    assert (told["max_abs_diff"], told["sqnr_db"]) == (None, None)


def test_it_passes_if_every_variant_ran_and_agreed(build):
    right, wrong = (build.row("rnnx", ROUNDS, ROUNDS, agrees=agrees) for agrees in (True, False))
    peer = build.row("openvino", ROUNDS, ROUNDS, agrees=False)
    assert build.report([right, peer]).passed
    assert not build.report([right, wrong]).passed
    failed = Skipped(candidate="rnnx int8", where="", reason="", failed=True)
    assert not build.report([right], skipped=(failed,)).passed


def elements(text):
    return ET.fromstring(text.partition("\n")[2])  # noqa: S314  (our own page)


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(report):
    text = page(json.loads(json.dumps(report.to_json())))
    root = elements(text)
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<img", text)
    assert not {"src", "href", "xlink:href"} & {name for one in root.iter() for name in one.attrib}
    headings = [one.text for one in root.iter("h2")]
    assert headings == [
        "How many times as fast",
        "Latency against time steps",
        "Latency against batch",
        "Speed against error",
        "Roofline",
        "All rows",
        "Loading and memory",
        "How it was measured",
    ]
    whole = "".join(root.itertext())
    assert "A Processor <of> 3 & a half" in whole
    assert "Not measured: torch (offline, 1 thread): <not> installed & so on" in whole
    assert "openvino is beyond the tolerance of the reference's answers in 6 of 6 rows." in whole
    assert "rnnx fp32 is beyond" not in whole


def test_every_mark_lies_within_its_plot_and_says_what_it_is(report):
    root = elements(page(report.to_json()))
    plots = [one for one in root.iter("svg") if one.get("role") == "img"]
    # 6 cells, 2 batches along time, 3 times along batch, 1 of errors, 1 roofline.
    assert len(plots) == 6 + 2 + 3 + 1 + 1
    for plot in plots:
        width, height = float(plot.get("width")), float(plot.get("height"))
        for one in plot.iter("circle"):
            assert 0 < float(one.get("cx")) < width
            assert 0 < float(one.get("cy")) < height
        for one in plot.iter("rect"):
            assert float(one.get("width")) > 0
            assert float(one.get("x")) + float(one.get("width")) < width
    titles = [one.text for one in root.iter("title") if one.text and one.text.startswith("rnnx fp32 |")]
    assert any("p50 0.525 ms" in one and "of the limit by L2 cache" in one for one in titles)


def test_the_table_has_a_line_for_each_row(report):
    text = bench_text(report)
    assert text.count("rnnx fp32") == 6 + 1
    assert text.count("DISAGREES") == 6
    assert "2.00 [2.00, 2.00]" in text
    assert "not measured: torch (offline, 1 thread): <not> installed & so on" in text
    assert "ceilings, 1 thread: float32 200 GOP/s, int8 800 GOP/s, L2 cache 200 GB/s, memory 20 GB/s" in text


def test_scales_and_ticks():
    scale = log_scale([1, 100], 0, 100)
    assert scale(1) < scale(10) < scale(100)
    assert scale(10) == pytest.approx(50, abs=0.1)
    assert {1, 10, 100} <= set(scale.ticks)
    assert log_scale([5.0, 5.0], 0, 100).low < 5 < log_scale([5.0, 5.0], 0, 100).high
    assert linear_scale(2.1, 0, 100)(0) == 0
    assert [number(one) for one in (0.05, 12.0, 1500.0, 2e-7, 3e6)] == ["0.05", "12", "1500", "2e-7", "3e6"]


CEILINGS = Ceilings(
    threads=1,
    float_gops=100.0,
    int8_gops=400.0,
    levels=(
        Level(name="L2 cache", up_to_bytes=1_000_000, gb_per_s=200.0),
        Level(name="L3 cache", up_to_bytes=10_000_000, gb_per_s=50.0),
        Level(name="memory", up_to_bytes=0, gb_per_s=10.0),
    ),
    first_bytes=30_000,
)


def cost(face=0, **node):
    return GraphCost(nodes=(NodeCost(name="n", operator="LSTM", **node),), face_bytes=face)


@pytest.mark.parametrize(
    ("what", "least_ms", "limit"),
    [
        # 1e9 operations at 100e9 a second.
        (cost(float_ops=10**9, weight_bytes=40_000), 10.0, "float32 products"),
        (cost(int8_ops=10**9, weight_bytes=40_000), 2.5, "int8 products"),
        (cost(int8_ops=10**9, float_ops=10**9, weight_bytes=40_000), 12.5, "products"),
        # 5 MB once, from the third level, at 50e9 bytes a second.
        (cost(float_ops=1, weight_bytes=5_000_000), 0.1, "L3 cache"),
        # The same, and 100 MB again from the second level, where the recurrent weights fit.
        (
            cost(float_ops=1, weight_bytes=5_000_000, repeated_bytes=100_000_000, working_set_bytes=500_000),
            0.1 + 0.5,
            "L2 cache",
        ),
        # Beyond every cache; inputs and outputs come from where the weights do.
        (cost(face=1_000_000, float_ops=1, weight_bytes=20_000_000), 2.1, "memory"),
        # What the first level holds costs nothing.
        (
            cost(float_ops=10**6, weight_bytes=20_000, repeated_bytes=10**9, working_set_bytes=20_000),
            0.01,
            "float32 products",
        ),
    ],
)
def test_the_least_time_is_set_by_products_or_by_bytes(what, least_ms, limit):
    found = roofline(what, CEILINGS)
    assert (found.least_ms, found.limit) == (pytest.approx(least_ms), limit)
    assert found.at(2 * least_ms).fraction == pytest.approx(0.5)


def test_ceilings_never_fall_with_more_threads():
    two = replace(CEILINGS, threads=2, float_gops=50.0, int8_gops=900.0)
    found = two.at_least(CEILINGS)
    assert (found.threads, found.float_gops, found.int8_gops) == (2, 100.0, 900.0)


def test_ceilings_are_measured():
    found = measure_ceilings(1, seconds=0.001)
    assert [level.name for level in found.levels][-1] == "memory"
    assert min(found.float_gops, found.int8_gops, *(level.gb_per_s for level in found.levels)) > 0.1
    assert found.level(0) is None
    assert found.level(1 << 40).name == "memory"


TIGHT = Tolerance(atol=1e-5, floor=1e-3)
SIGNATURE = Signature(
    inputs=(parse_tensor("x: float32[batch, time, 2]"), parse_tensor("lengths: int64[batch]")),
    outputs=(parse_tensor("y: float32[batch, time]"), parse_tensor("n: int64[batch]")),
    lengths=(LengthsSpec(name="lengths", axis="time"),),
)


def test_agreement_is_told_of_the_worst_output():
    y, n = np.array([[1.0, -2.0]], np.float32), np.array([3])
    same = agreement({"y": y, "n": n}, {"y": y, "n": n}, signature=SIGNATURE, tolerance=TIGHT)
    assert (same.agrees, same.max_abs_diff, same.sqnr_db) == (True, 0.0, math.inf)
    off = agreement({"y": y}, {"y": y + np.float32(0.125)}, signature=SIGNATURE, tolerance=TIGHT)
    assert (off.agrees, off.max_abs_diff) == (False, 0.125)
    assert off.sqnr_db == pytest.approx(10 * math.log10((1 + 4) / (2 * 0.125**2)))
    wrong = agreement({"y": y, "n": n}, {"y": y, "n": n + 1}, signature=SIGNATURE, tolerance=TIGHT)
    assert not wrong.agrees
    loose = wider(TIGHT, Tolerance(atol=1.0, floor=0.0))
    assert agreement({"y": y}, {"y": y + np.float32(0.125)}, signature=SIGNATURE, tolerance=loose).agrees


def test_answers_that_cannot_be_compared_do_not_agree():
    y = np.zeros((1, 2), np.float32)
    shaped = agreement({"y": y}, {"y": y[0]}, signature=SIGNATURE, tolerance=TIGHT)
    assert (shaped.agrees, shaped.reason) == (False, "y: shape (2,) instead of (1, 2)")
    nan = agreement({"y": y}, {"y": y * np.nan}, signature=SIGNATURE, tolerance=TIGHT)
    assert (nan.agrees, nan.reason) == (False, "y: NaN in the candidate")
    other = agreement({"y": y}, {"z": y}, signature=SIGNATURE, tolerance=TIGHT)
    assert (other.agrees, other.reason) == (False, "no output in common")


def test_padding_that_only_one_of_them_keeps_is_left_out():
    y = np.arange(6, dtype=np.float32).reshape(2, 3)
    for first, second in ((y, y[:, :2]), (y[:, :2], y)):
        assert agreement({"y": first}, {"y": second}, signature=SIGNATURE, tolerance=TIGHT).agrees
