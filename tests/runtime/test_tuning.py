"""What ``rnnx.load(..., tuned=...)`` takes from an entry, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

import rnnx
from rnnx.bundle import Bundle, write_manifest
from rnnx.errors import InputError, ProviderError, TuningError, VariantError
from rnnx.runtime import opening, tuning
from rnnx.runtime.machine import cores, cpu
from rnnx.runtime.options import PROVIDER_OPTIONS, SESSION_OPTIONS, check_provider_options, own_options
from rnnx.runtime.ort import import_ort
from rnnx.runtime.providers import Obstacle
from rnnx.tuned import Measured, Tuned

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
OPTIONS = {
    "session.intra_op.allow_spinning": "0",
    "enable_mem_pattern": False,
    "graph_optimization_level": "ORT_ENABLE_BASIC",
}


@pytest.fixture
def bundle(make_lstm):
    return Bundle.open(make_lstm(lengths=False, states=False, precisions=("fp32", "int8")))


def entry_for(bundle, **changes):
    """An entry for this machine."""
    given = {
        "cpu": cpu(), "cores": cores(), "provider": "cpu", "mode": "offline", "batch": 1, "time": 5, "objective": "p99",
        "precision": "int8", "threads": 1, "session_options": OPTIONS, "onnxruntime": import_ort().__version__,
        "measured": Measured(tuned=1.0, default=2.0, ratio=2.0, low=1.9, high=2.1),
    } | changes  # fmt: skip
    given.setdefault("graph_sha256", bundle.graph_sha256(bundle.variant(given["precision"])))
    return Tuned(**given)


def test_the_entry_decides_the_variant_threads_and_options(bundle):
    entry = entry_for(bundle)
    bundle.keep_tuned(entry)
    with rnnx.load(bundle.path) as plain, rnnx.load(bundle.path, tuned=True) as session:
        assert plain.tuned is None
        assert (plain.variant.key, session.variant.key) == ("fp32-offline", "int8-offline")
        assert (session.tuned.entry, session.tuned.note) == (entry, "")
        options = session.opened().get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.enable_mem_pattern is False
        assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
        assert session.provider_report == plain.provider_report
        np.testing.assert_allclose(session.run({"features": X})["y"], plain.run({"features": X})["y"], atol=1e-6)
    assert str(session.tuned).startswith("p99 1x5: int8-offline, 1 thread, enable_mem_pattern=False, graph_opt")
    assert session.tuned.to_json()["entry"] == entry.to_json()


def test_a_default_that_was_kept_is_the_plain_session(bundle):
    bundle.keep_tuned(entry_for(bundle, precision="fp32", threads=None, session_options={}))
    with rnnx.load(bundle.path) as plain, rnnx.load(bundle.path, tuned=True) as session:
        assert session.variant == plain.variant
        found, expected = session.opened().get_session_options(), plain.opened().get_session_options()
        for name in ("intra_op_num_threads", "enable_mem_pattern", "enable_cpu_mem_arena", "graph_optimization_level"):
            assert getattr(found, name) == getattr(expected, name)


def test_a_form_is_loaded_by_an_entry_that_names_it(bundle):
    fp32 = bundle.variant("fp32")
    scan = replace(fp32, form="scan", file="fp32-offline-scan.onnx")
    shutil.copy(bundle.path / fp32.file, bundle.path / scan.file)
    write_manifest(bundle.path, replace(bundle.manifest, variants=(*bundle.manifest.variants, scan)))
    again = Bundle.open(bundle.path)
    again.keep_tuned(entry_for(again, precision="fp32", form="scan"))
    with rnnx.load(bundle.path, tuned=True) as session:
        assert session.variant.key == "fp32-offline-scan"
    with rnnx.load(bundle.path, form="scan") as session:
        assert session.variant.key == "fp32-offline-scan"
    with rnnx.load(bundle.path) as session:
        assert session.variant.key == "fp32-offline"


def test_one_of_several_entries_is_named(bundle):
    bundle.keep_tuned(entry_for(bundle))
    bundle.keep_tuned(entry_for(bundle, objective="throughput", batch=16, precision="fp32"))
    with pytest.raises(TuningError, match=r"'p99 1x5', 'throughput 16x5' here: say for which, such as tuned='p99 1x5'"):
        rnnx.load(bundle.path, tuned=True)
    for wish in ("throughput", "16x5", "throughput 16x5"):
        with rnnx.load(bundle.path, tuned=wish) as session:
            assert session.variant.key == "fp32-offline"
    with pytest.raises(InputError, match=r"tuned is 'fastest'; it must be an objective"):
        rnnx.load(bundle.path, tuned="fastest")
    with pytest.raises(InputError, match=r"tuned is 1; it must be True, False, or which entry"):
        rnnx.load(bundle.path, tuned=1)


def test_a_bundle_that_was_not_tuned_here(bundle):
    with pytest.raises(TuningError, match=r"is not tuned for .*; it is for no machine at all\. Run: rnnx tune"):
        rnnx.load(bundle.path, tuned=True)
    bundle.keep_tuned(entry_for(bundle, cpu="Abacus 3000", cores=3))
    with pytest.raises(TuningError, match=r"it is for 'Abacus 3000, 3 cores'\. Run: rnnx tune .* --provider cpu"):
        rnnx.load(bundle.path, tuned=True)
    with rnnx.load(bundle.path) as session:
        assert session.tuned is None


def test_what_the_entry_decides_is_not_given_beside_it(bundle):
    bundle.keep_tuned(entry_for(bundle))
    for given in (
        {"precision": "fp32"}, {"form": "scan"}, {"threads": 2}, {"session_options": import_ort().SessionOptions()},
        {"provider_options": {}},
    ):  # fmt: skip
        with pytest.raises(InputError, match=rf"tuned and '{next(iter(given))}' are both given"):
            rnnx.load(bundle.path, tuned=True, **given)
    with pytest.raises(InputError, match="tuned and 'precision', 'threads' are both given"):
        rnnx.load(bundle.path, tuned="p99", precision="int8", threads=1)


def test_another_onnxruntime_is_noted(bundle):
    bundle.keep_tuned(entry_for(bundle, onnxruntime="1.0.0"))
    with rnnx.load(bundle.path, tuned=True) as session:
        assert session.tuned.note.startswith("measured with onnxruntime 1.0.0, here is ")
        assert "measured with onnxruntime 1.0.0" in str(session.tuned)
        assert session.run({"features": X})["y"].shape == (2, 5, 4)


def test_a_graph_that_was_made_again_needs_a_new_tuning(bundle):
    bundle.keep_tuned(entry_for(bundle, graph_sha256="0" * 64))
    with pytest.raises(TuningError, match=r"'int8-offline' of bundle .* was made again after it was tuned \(p99 1x5\)"):
        rnnx.load(bundle.path, tuned=True)


def test_a_variant_that_is_gone(bundle):
    bundle.keep_tuned(entry_for(bundle))
    whole = Bundle.open(bundle.path).manifest
    write_manifest(bundle.path, replace(whole, variants=whole.variants[:1]))
    with pytest.raises(VariantError, match="has no variant 'int8-offline'"):
        rnnx.load(bundle.path, tuned=True)


@pytest.mark.parametrize(
    "options",
    [
        {"optimized_model_filepath": "stolen.onnx"},
        {"enable_profiling": True},
        {"session.set_denormal_as_zero": "1"},
        {"session.intra_op.allow_spinning": "maybe"},
        {"enable_mem_pattern": "False"},
    ],
    ids=str,
)
def test_options_that_are_not_tuned_are_not_set_from_a_manifest(bundle, options):
    bundle.keep_tuned(entry_for(bundle, session_options=options))
    with pytest.raises(TuningError, match=r"the bundle's tuned entry sets '.*' to .*, which this rnnx does not know"):
        rnnx.load(bundle.path, tuned=True)


def test_options_of_a_provider_are_checked():
    assert check_provider_options("cuda", {"cudnn_conv_algo_search": "HEURISTIC"}) == {
        "cudnn_conv_algo_search": "HEURISTIC"
    }
    for provider, options in (
        ("cpu", {"cudnn_conv_algo_search": "HEURISTIC"}),
        ("cuda", {"trt_engine_cache_path": "/"}),
    ):
        with pytest.raises(TuningError, match="which this rnnx does not know"):
            check_provider_options(provider, options)
    assert PROVIDER_OPTIONS.keys() == {"cpu", "cuda", "tensorrt"}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, all_ in SESSION_OPTIONS.items() for value in all_])
def test_every_option_is_one_of_this_onnxruntime_and_not_its_default(name, value):
    ort = import_ort()
    options = own_options(ort, 1, {name: value})
    if "." in name:
        assert options.get_session_config_entry(name) == value
    else:
        found = getattr(options, name)
        assert getattr(found, "name", found) == value
        assert found != getattr(ort.SessionOptions(), name)


def test_auto_takes_the_entry_of_the_provider_that_is_used(bundle, monkeypatch):
    bundle.keep_tuned(entry_for(bundle))
    broken = Obstacle(why="libfake.so is missing", mend="Install it", command="")
    monkeypatch.setattr(tuning, "obstacle", lambda _, name: broken if name == "cuda" else None)
    with rnnx.load(bundle.path, tuned=True) as session:
        assert str(session.provider_report) == "cpu (auto; not cuda: libfake.so is missing)"
    with rnnx.load(bundle.path, tuned=True, provider="cpu") as session:
        assert str(session.provider_report) == "cpu"
    monkeypatch.setattr(tuning, "obstacle", lambda *_: broken)
    with pytest.raises(ProviderError, match=r"no provider is usable here: cuda: libfake\.so is missing; cpu: lib"):
        rnnx.load(bundle.path, tuned=True)


def test_an_entry_of_a_gpu_is_for_that_gpu(bundle, monkeypatch):
    entry = entry_for(bundle, provider="cuda", gpu="Big GPU", provider_options={"cudnn_conv_algo_search": "DEFAULT"},
                      session_options={})  # fmt: skip
    bundle.keep_tuned(entry)
    monkeypatch.setattr(tuning, "nvidia_gpu", lambda: "Small GPU, driver 1.2")
    with pytest.raises(TuningError, match=r"not tuned for '.*, Small GPU'; it is for '.*, Big GPU'"):
        rnnx.load(bundle.path, tuned=True, provider="cuda")
    monkeypatch.setattr(tuning, "nvidia_gpu", lambda: "Big GPU, driver 9.9")
    seen = {}

    def spy(_ort, _model, **options):
        seen.update(options)
        raise ProviderError("far enough")

    monkeypatch.setattr(opening, "open_session", spy)
    with pytest.raises(ProviderError, match="far enough"):
        rnnx.load(bundle.path, tuned=True, provider="cuda")
    assert (seen["provider"], seen["provider_options"]) == ("cuda", {"cudnn_conv_algo_search": "DEFAULT"})
