"""TensorRT's profile and the folder of its engines: pure functions, and the options that ONNX Runtime is given."""

from __future__ import annotations

import json
import re
import types

import numpy as np
import pytest

import rnnx
from rnnx.errors import InputError, ProviderError, ShapeError
from rnnx.runtime import loading, machine, opening, providers, tensorrt
from rnnx.runtime.choice import Obstacle, ProviderChoice
from rnnx.runtime.ort import import_ort
from rnnx.runtime.tensorrt import cache_root, engine_folder, engine_key, engine_options, plan_profiles
from rnnx.runtime.verify import verify
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

MINIMUM, OPTIMUM, MAXIMUM = (f"trt_profile_{end}_shapes" for end in ("min", "opt", "max"))


def test_every_dynamic_input_has_its_shapes():
    signature = Signature(
        inputs=tuple(
            map(
                parse_tensor,
                (
                    "x: float32[batch, time, 40]",
                    "scale: float32[]",
                    "table: float32[3, 4]",
                    "lengths: int64[batch]",
                    "h_0: float32[2, batch, 8]",
                ),
            )
        ),
        lengths=(LengthsSpec(name="lengths", axis="time"),),
        states=(StateSpec(name="h_0"),),
        ranges=(AxisRange(name="batch", maximum=16),),
    )
    assert plan_profiles(signature, {"time": (1, 64, 512), "batch": (1, 4, 16)}) == {
        MINIMUM: "x:1x1x40,lengths:1,h_0:2x1x8",
        OPTIMUM: "x:4x64x40,lengths:4,h_0:2x4x8",
        MAXIMUM: "x:16x512x40,lengths:16,h_0:2x16x8",
    }
    assert plan_profiles(signature, {"time": 100})[OPTIMUM] == "x:16x100x40,lengths:16,h_0:2x16x8"
    with pytest.raises(InputError, match="the model declares no largest size of 'time'"):
        plan_profiles(signature, {})


def test_a_fixed_model_needs_no_profile():
    assert plan_profiles(Signature(inputs=(parse_tensor("x: float32[2, 3]"),)), {}) == {}


KEY = {
    "bundle_sha256": "ab" * 32,
    "variant": "fp32-offline",
    "options": {MAXIMUM: "x:1x9"},
    "software": {"onnxruntime": "1.32.0", "tensorrt": "101300"},
    "gpus": ("H100, 9.0, 580",),
}


@pytest.mark.parametrize(
    "change",
    [
        {"bundle_sha256": "cd" * 32},
        {"variant": "fp16-offline"},
        {"options": {MAXIMUM: "x:1x10"}},
        {"options": {MAXIMUM: "x:1x9", "device_id": "1"}},
        {"software": {"onnxruntime": "1.33.0", "tensorrt": "101300"}},
        {"software": {"onnxruntime": "1.32.0", "tensorrt": "101400"}},
        {"gpus": ("H200, 9.0, 580",)},
        {"gpus": ("H100, 9.0, 581",)},
    ],
    ids=str,
)
def test_whatever_an_engine_depends_on_gives_another_folder(tmp_path, change):
    usual = engine_folder(tmp_path, engine_key(**KEY))
    assert usual.parent == tmp_path / "tensorrt"
    assert engine_folder(tmp_path, engine_key(**(KEY | change))) != usual
    turned = dict(reversed(KEY["software"].items()))
    assert engine_folder(tmp_path, engine_key(**(KEY | {"software": turned}))) == usual, "the order says nothing"


def test_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "rnnx"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_root() == tmp_path / "home" / ".cache" / "rnnx"


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and a TensorRT."""
    monkeypatch.setattr(tensorrt, "nvidia_gpus", lambda: ("H100, 9.0, 580.1",))
    monkeypatch.setattr(tensorrt, "tensorrt_version", lambda: {"tensorrt": "101300"})


def test_engines_are_kept_beside_their_key(gpu, lstm, tmp_path):
    bundle = rnnx.Bundle.open(lstm)
    given = {MAXIMUM: "x:1x9", "trt_fp16_enable": True}
    options = engine_options(
        ort_version="9", bundle=bundle, variant=bundle.variant(), options=given, root=tmp_path / "cache"
    )
    folder = tmp_path / "cache" / "tensorrt"
    (made,) = folder.iterdir()
    assert options == given | {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(made),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(made),
    }
    assert made.stat().st_mode & 0o777 == 0o700, "an engine is code"
    assert json.loads((made / "key.json").read_text()) == {
        "bundle": bundle.sha256,
        "variant": "fp32-offline",
        "options": {"trt_fp16_enable": "True", MAXIMUM: "x:1x9"},
        "software": {"onnxruntime": "9", "tensorrt": "101300"},
        "gpus": ["H100, 9.0, 580.1"],
    }
    own = {"trt_engine_cache_path": "/mine"}
    assert engine_options(ort_version="9", bundle=bundle, variant=bundle.variant(), options=own) == own


def test_a_cache_that_cannot_be_written(gpu, lstm, tmp_path):
    (tmp_path / "file").touch()
    bundle = rnnx.Bundle.open(lstm)
    with pytest.raises(ProviderError, match=r"engines cannot be kept in '.*file/tensorrt/.*Name another folder"):
        engine_options(ort_version="9", bundle=bundle, variant=bundle.variant(), options={}, root=tmp_path / "file")


def test_the_gpus_are_told_by_nvidia_smi(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    answer = types.SimpleNamespace(stdout="NVIDIA H100, 9.0, 580.1\nNVIDIA T4, 7.5, 580.1\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: answer)
    assert machine.nvidia_gpus() == ("NVIDIA H100, 9.0, 580.1", "NVIDIA T4, 7.5, 580.1")
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert machine.nvidia_gpus() == ()


@pytest.fixture
def pretended(gpu, monkeypatch, tmp_path):
    """TensorRT in name: the CPU runs what it is asked for. Gives what it was asked for with."""
    asked = []

    def open_session(ort, model, *, provider, options, provider_options):
        asked.append((provider, dict(provider_options)))
        real = import_ort().InferenceSession(
            model, options, providers=["CPUExecutionProvider"], provider_options=[{}], enable_fallback=0
        )
        return real, ProviderChoice(name="tensorrt", requested="tensorrt")

    monkeypatch.setattr(opening, "open_session", open_session)
    monkeypatch.setattr(loading, "check_usable", lambda *_: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return asked


RANGES = {"batch": (1, 2, 4), "time": (1, 5, 8)}


def test_load_plans_the_profile_and_refuses_what_is_outside(pretended, lstm, tmp_path, weights):
    with rnnx.load(lstm, provider="tensorrt", ranges=RANGES) as session:
        ((provider, options),) = pretended
        assert provider == "tensorrt"
        assert options[MINIMUM] == "features:1x1x3,lengths:1,h_0:1x1x4,c_0:1x1x4"
        assert options[OPTIMUM] == "features:2x5x3,lengths:2,h_0:1x2x4,c_0:1x2x4"
        assert options[MAXIMUM] == "features:4x8x3,lengths:4,h_0:1x4x4,c_0:1x4x4"
        assert options["trt_engine_cache_path"].startswith(str(tmp_path / "xdg" / "rnnx" / "tensorrt"))
        x = np.random.default_rng(0).normal(size=(4, 8, 3)).astype(np.float32)
        np.testing.assert_allclose(session.run({"features": x})["y"], weights.run(x)["y"], rtol=0, atol=1e-5)
        message = (
            "axis 'time' of input 'features' is 9, shape (4, 9, 3); allowed is 1 <= time <= 8. The session was loaded"
        )
        with pytest.raises(ShapeError, match=re.escape(message)):
            session.run({"features": np.zeros((4, 9, 3), np.float32)})
        with pytest.raises(ShapeError, match=r"axis 'batch' .* is 5.*loaded for 'batch=1:2:4' alone"):
            session.run({"features": [np.zeros((2, 3), np.float32)] * 5})
        assert session.signature.range("time").maximum == 8, "an engine in front of it batches no more than that"


def test_options_by_hand_stay(pretended, lstm):
    given = {MINIMUM: "a", OPTIMUM: "b", MAXIMUM: "c", "trt_engine_cache_path": "/mine"}
    with rnnx.load(lstm, provider="tensorrt", provider_options=given) as session:
        assert pretended == [("tensorrt", given)]
        assert session.signature.range("time").maximum is None
    with pytest.raises(InputError, match="ranges and 'trt_profile_min_shapes' among provider_options are both given"):
        rnnx.load(lstm, provider="tensorrt", provider_options=given, ranges=RANGES)
    with pytest.raises(InputError, match="engine_cache and 'trt_engine_cache_path' among provider_options"):
        rnnx.load(lstm, provider="tensorrt", provider_options=given, engine_cache="/other")


def test_nothing_is_made_where_tensorrt_is_not_usable(lstm, tmp_path, monkeypatch):
    monkeypatch.setattr(providers, "obstacle", lambda *_: Obstacle(why="no GPU", mend="Buy one", command=""))
    with pytest.raises(ProviderError, match=r"^provider 'tensorrt' is not usable here: no GPU. Buy one, or pass"):
        rnnx.load(lstm, provider="tensorrt", ranges=RANGES, engine_cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_ranges_are_tensorrts(lstm):
    for provider in ("cpu", "auto", "cuda"):
        with pytest.raises(
            InputError, match=f"ranges is given with the provider '{provider}', and it is for 'tensorrt'"
        ):
            rnnx.load(lstm, provider=provider, ranges=RANGES)
    with pytest.raises(InputError, match="engine_cache is given with the provider 'cpu'"):
        rnnx.load(lstm, provider="cpu", engine_cache="/x")
    with pytest.raises(InputError, match="the model declares no largest size of 'batch'"):
        rnnx.load(lstm, provider="tensorrt", ranges={"time": 4})


def test_verify_tells_tensorrt_the_golden_sizes(pretended, lstm):
    assert verify(lstm, provider="tensorrt").passed
    assert pretended[0][1][MINIMUM].startswith("features:1x1x3")
    assert pretended[0][1][MAXIMUM].startswith("features:3x7x3")


def test_golden_vectors_outside_of_the_ranges_are_left_out(pretended, lstm):
    from rnnx.runtime.verify import golden_rows

    cases = rnnx.Bundle.open(lstm).golden()
    with rnnx.load(lstm, provider="tensorrt", ranges={"batch": (1, 2, 2), "time": (1, 5, 5)}) as session:
        rows = golden_rows(session, cases)
        assert {row.shapes["features"] for row in rows} == {(1, 1, 3), (2, 5, 3)}
        assert all(row.passed for row in rows)
    with rnnx.load(lstm, provider="tensorrt", ranges={"batch": 9, "time": 9}) as session:
        rows = golden_rows(session, cases)
        assert rows
        assert not any(row.passed for row in rows)
        assert "holds no case of sizes that this session takes" in rows[0].reason
