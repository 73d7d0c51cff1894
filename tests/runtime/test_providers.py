"""Which provider is really used, shown with an ONNX Runtime that lies."""

import re
import sys
from pathlib import Path

import pytest

from rnnx.errors import ProviderError
from rnnx.runtime import providers
from rnnx.runtime.providers import AUTO_ORDER, PROVIDERS, Obstacle, attempt, open_session

CPU, CUDA, TENSORRT = (PROVIDERS[name] for name in ("cpu", "cuda", "tensorrt"))


class FakeSession:
    """A session that has whatever providers it is told to have."""

    def __init__(self, used):
        self.used = used
        self.fallback = True

    def get_providers(self):
        return self.used

    def disable_fallback(self):
        self.fallback = False


class FakeOrt:
    """An ONNX Runtime that lists `lists` and gives sessions on `gives`, or raises."""

    __version__ = "9.9.9"

    def __init__(self, *, lists=(CPU,), gives=None, raises=None, file=None):
        self.lists, self.gives, self.raises = list(lists), gives, raises
        self.__file__ = file
        self.asked = []
        self.severities = []
        self.preloaded = 0

    def get_available_providers(self):
        return self.lists

    def set_default_logger_severity(self, severity):
        self.severities.append(severity)

    def preload_dlls(self):
        print("Failed to load libcublasLt.so.13")  # noqa: T201  (as the real one does)
        self.preloaded += 1

    def InferenceSession(self, model, options, *, providers, provider_options, enable_fallback):  # noqa: N802
        assert len(providers) == len(provider_options)
        assert enable_fallback == 0
        self.asked.append((tuple(providers), [dict(one) for one in provider_options]))
        if self.raises and providers[0] != CPU:
            raise self.raises
        return FakeSession([*providers, CPU] if self.gives is None else self.gives)


def opened(ort, provider, **given):
    return open_session(ort, b"model", provider=provider, options=object(), **given)


@pytest.fixture(autouse=True)
def one_distribution(monkeypatch):
    monkeypatch.setattr(providers, "distributions", lambda: {"onnxruntime": "9.9.9"})
    monkeypatch.setattr(providers, "clash", lambda: "")


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The file of the CUDA provider, and what it lacks."""
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    (tmp_path / "capi" / "libonnxruntime_providers_tensorrt.so").touch()
    lacks = []
    monkeypatch.setattr(providers, "missing_libraries", lambda _: tuple(lacks))
    return str(tmp_path / "__init__.py"), lacks


def test_the_order_is_documented():
    assert AUTO_ORDER == ("cuda", "cpu")
    assert set(AUTO_ORDER) < PROVIDERS.keys()


def test_auto_takes_cuda_where_it_works():
    ort = FakeOrt(lists=[TENSORRT, CUDA, CPU])
    session, choice = opened(ort, "auto")
    assert session.get_providers() == [CUDA, CPU]
    assert not session.fallback
    assert (choice.name, choice.requested, choice.reasons) == ("cuda", "auto", {})
    assert str(choice) == "cuda (auto)"
    assert ort.asked == [((CUDA,), [{}])], "TensorRT is used only when it is named"
    assert ort.severities == [4, 2], "quiet, and then as it was"


def test_auto_says_why_not_cuda():
    session, choice = opened(FakeOrt(), "auto")
    assert session.get_providers() == [CPU, CPU]
    assert choice.to_json() == {
        "name": "cpu",
        "requested": "auto",
        "reasons": {"cuda": "onnxruntime 9.9.9 is built without it"},
    }
    assert str(choice) == "cpu (auto; not cuda: onnxruntime 9.9.9 is built without it)"


def test_a_session_that_fell_back_to_the_cpu_is_not_taken():
    ort = FakeOrt(lists=[CUDA, CPU], gives=[CPU])
    message = (
        "provider 'cuda' is not usable here: ONNX Runtime gave a session on CPUExecutionProvider instead. "
        "Check the GPU and its driver with 'nvidia-smi' and 'rnnx doctor', or pass --provider cpu."
    )
    with pytest.raises(ProviderError, match=f"^{re.escape(message)}$"):
        opened(ort, "cuda")
    _, choice = opened(ort, "auto")
    assert choice.name == "cpu"
    assert choice.reasons == {"cuda": "ONNX Runtime gave a session on CPUExecutionProvider instead"}


def test_a_provider_that_raises():
    ort = FakeOrt(lists=[CUDA, CPU], raises=RuntimeError("CUDA failure 35: driver too old\nmore\nlines"))
    message = "provider 'cuda' is not usable here: ONNX Runtime could not start it (CUDA failure 35: driver too old)."
    with pytest.raises(ProviderError, match=re.escape(message)):
        opened(ort, "cuda")
    assert ort.severities == [4, 2]
    _, choice = opened(ort, "auto")
    assert choice.name == "cpu"


def test_a_model_that_fails_on_the_cpu_raises_onnx_runtimes_error():
    class Broken(FakeOrt):
        def InferenceSession(self, *_, **__):  # noqa: N802
            raise RuntimeError("bad model")

    for provider in ("cpu", "auto"):
        with pytest.raises(RuntimeError, match=r"^bad model$"):
            opened(Broken(), provider)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["libcublasLt.so.13"], "libcublasLt.so.13 is missing. Install rnnx[gpu], or pass --provider cpu."),
        (
            ["libcublas.so.13", "libcuda.so.1"],
            "libcublas.so.13 and libcuda.so.1 are missing. Install rnnx[gpu] and install the NVIDIA driver, or pass",
        ),
        (["libcuda.so.1"], "libcuda.so.1 is missing. Install the NVIDIA driver, or pass --provider cpu."),
        (
            ["libcudnn.so.9", "libnvinfer.so.10", "libnvonnxparser.so.10"],
            "are missing. Install rnnx[gpu] and install TensorRT 10 where the loader finds it, or pass --provider cpu.",
        ),
    ],
)
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_missing_libraries_are_named(library, missing, message, provider, capsys):
    file, lacks = library
    lacks += missing
    ort = FakeOrt(lists=[TENSORRT, CUDA, CPU], file=file)
    with pytest.raises(ProviderError, match=re.escape(message)) as caught:
        opened(ort, provider)
    assert str(caught.value).startswith(f"provider '{provider}' is not usable here: {missing[0]}")
    assert ort.asked == [], "ONNX Runtime is not even asked, for it would write to the terminal"
    assert ort.preloaded == 1
    assert capsys.readouterr().out == ""


def test_libraries_that_are_all_there(library):
    file, _ = library
    ort = FakeOrt(lists=[TENSORRT, CUDA, CPU], file=file)
    _, choice = opened(ort, "tensorrt", provider_options={"trt_fp16_enable": True})
    assert choice.name == str(choice) == "tensorrt"
    # What TensorRT does not take goes to CUDA rather than to the CPU.
    assert ort.asked == [((TENSORRT, CUDA), [{"trt_fp16_enable": True}, {}])]


def test_what_tensorrt_leaves_runs_on_the_same_device(library):
    file, _ = library
    ort = FakeOrt(lists=[TENSORRT, CUDA, CPU], file=file)
    opened(ort, "tensorrt", provider_options={"device_id": 1, "trt_fp16_enable": True})
    assert ort.asked[0][1] == [{"device_id": 1, "trt_fp16_enable": True}, {"device_id": 1}]


def test_two_distributions_are_named(monkeypatch):
    both = "'onnxruntime' and 'onnxruntime-gpu' are both installed and overwrite each other. Run: pip uninstall -y x"
    monkeypatch.setattr(providers, "clash", lambda: both)
    with pytest.raises(ProviderError, match=re.escape(f"provider 'cuda' is not usable here: {both}, or pass")):
        opened(FakeOrt(), "cuda")
    _, choice = opened(FakeOrt(), "auto")
    assert choice.reasons["cuda"] == both.partition(". Run")[0]


def test_what_is_built_without_the_provider():
    message = (
        "provider 'tensorrt' is not usable here: onnxruntime 9.9.9 is built without it. "
        "Run: pip uninstall -y onnxruntime && pip install 'rnnx[gpu]', or pass --provider cpu."
    )
    with pytest.raises(ProviderError, match=re.escape(message)):
        opened(FakeOrt(), "tensorrt")


def test_no_provider_at_all():
    with pytest.raises(ProviderError, match=r"no provider is usable here: cuda: .*; cpu: .*Run 'rnnx doctor'"):
        opened(FakeOrt(lists=[]), "auto")


@pytest.mark.parametrize("name", ["gpu", "CUDA", "CPUExecutionProvider", "", None, "openvino@", "openvinos", "plugin:"])
def test_unknown_providers(name):
    message = f"provider {name!r} is not known. Allowed are 'auto', 'cpu', 'cuda', 'tensorrt', 'openvino', and 'plugin:"
    with pytest.raises(ProviderError, match=re.escape(message)):
        opened(FakeOrt(), name)


def test_options_belong_to_a_named_provider():
    ort = FakeOrt(lists=[CUDA, CPU])
    opened(ort, "cuda", provider_options={"device_id": 1})
    assert ort.asked == [((CUDA,), [{"device_id": 1}])]
    with pytest.raises(ProviderError, match=r"provider_options \['device_id'\] are for one provider, and 'auto' may"):
        opened(ort, "auto", provider_options={"device_id": 1})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries are looked up on Linux only")
def test_the_installed_onnx_runtime_tells_the_truth(weights):
    from rnnx.runtime import ort as room
    from rnnx.runtime import probe

    ort = room.import_ort()
    options = ort.SessionOptions()
    for name, wanted in PROVIDERS.items():
        found = attempt(ort, probe.model(), name, options, {})
        if isinstance(found, Obstacle):
            assert name != "cpu"
            assert found.why
            assert found.mend
        else:
            assert wanted in found.get_providers()
    assert Path(ort.__file__).name == "__init__.py"
