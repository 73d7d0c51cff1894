"""What is installed here, which providers truly work, and what mends the rest."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import MissingExtraError
from . import machine, probe
from .choice import Obstacle
from .openvino_session import NAME as OPENVINO
from .ort import LOG_FATAL, MEND_BOTH, distributions, import_ort, telemetry
from .plugins import installed_plugins
from .providers import PROVIDERS, attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .ort import Ort


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderFinding:
    """What became of trying one provider with a tiny LSTM.

    Attributes:
        name: the provider.
        works: whether it gave the right answer.
        max_abs_diff: largest absolute difference from NumPy's answer, or None where it did not run.
        why: why it does not work, or empty.
        mend: the command or the step that mends it, or empty.
        missing: every shared library that it needs and this machine lacks.
    """

    name: str
    works: bool
    max_abs_diff: float | None = None
    why: str = ""
    mend: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that a user should know.

    Attributes:
        what: what was found.
        mend: a command that mends it.
        broken: whether something does not work because of it; else it is advice.
    """

    what: str
    mend: str
    broken: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What :func:`diagnose` found.

    Attributes:
        rnnx: version of rnnx.
        python: version of Python.
        platform: operating system and machine.
        cpu: the processor's name.
        cores: how many cores this process may use.
        gpu: the first NVIDIA GPU, or None.
        numpy: version of NumPy.
        onnxruntime: installed distributions of ONNX Runtime, name to version.
        telemetry: state of ONNX Runtime's telemetry.
        providers: what became of each provider.
        export: distributions that exporting needs, name to version or None.
        findings: what to mend.
    """

    rnnx: str
    python: str
    platform: str
    cpu: str
    cores: int
    gpu: str | None
    numpy: str | None
    onnxruntime: Mapping[str, str]
    telemetry: str
    providers: tuple[ProviderFinding, ...]
    export: Mapping[str, str | None]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether at least one provider works and nothing is broken."""
        return any(one.works for one in self.providers) and not any(one.broken for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self) | {"healthy": self.healthy}


def diagnose() -> Diagnosis:
    """Find out what is installed and what works. It never raises because something is missing."""
    gpu = machine.nvidia_gpu()
    installed = distributions()
    providers, findings = _try_all(gpu)
    if len(installed) > 1:
        names = " and ".join(installed)
        findings.append(
            Finding(
                what=f"{names} are both installed and overwrite each other's files",
                mend=MEND_BOTH.format(names=" ".join(installed)),
                broken=True,
            )
        )
    findings += _about_gpu(gpu, installed, providers)
    return Diagnosis(
        rnnx=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=machine.cpu(),
        cores=machine.cores(),
        gpu=gpu,
        numpy=machine.version("numpy"),
        onnxruntime=installed,
        telemetry=telemetry(),
        providers=tuple(providers),
        export={name: machine.version(name) for name in machine.EXPORT},
        findings=tuple(findings),
    )


def _try_all(gpu: str | None) -> tuple[list[ProviderFinding], list[Finding]]:
    try:
        ort = import_ort()
    except MissingExtraError as error:
        why, _, mend = str(error).partition(" Run: ")
        absent = [ProviderFinding(name=name, works=False, why="ONNX Runtime is not usable") for name in _names()]
        command = f"pip install 'rnnx[{'gpu' if gpu else 'cpu'}]'" if not distributions() else mend
        return absent, [Finding(what=why.removesuffix("."), mend=command, broken=True)]
    providers = [_try(ort, name) for name in _names()]
    wrong = [
        Finding(what=f"{one.name}: {one.why}", mend=one.mend, broken=True)
        for one in providers
        if not one.works and (one.max_abs_diff is not None or one.name == "cpu")
    ]
    return providers, wrong


def _names() -> list[str]:
    """The providers that are tried: ONNX Runtime's own, OpenVINO, and the plug-ins that are installed."""
    return [*PROVIDERS, OPENVINO, *installed_plugins()]


def _try(ort: Ort, name: str) -> ProviderFinding:
    options = ort.SessionOptions()
    options.log_severity_level = LOG_FATAL
    again = f"pip install --force-reinstall {' '.join(distributions()) or 'onnxruntime'}"
    try:
        session = attempt(ort, probe.model(), name, options, {})
        if isinstance(session, Obstacle):
            return ProviderFinding(
                name=name, works=False, why=session.why, mend=session.command, missing=session.missing
            )
        apart = probe.max_abs_diff(session)
    except Exception as error:  # noqa: BLE001  (whatever ONNX Runtime raises is what the doctor has to tell)
        return ProviderFinding(name=name, works=False, why=f"a tiny LSTM failed: {error}", mend=again)
    allowed = probe.ALLOWED.get(name, probe.ALLOWED_ELSEWHERE)
    if not apart <= allowed:  # so that NaN is wrong, too
        why = f"a tiny LSTM is {apart:.1e} off; {allowed:.0e} is allowed"
        return ProviderFinding(name=name, works=False, max_abs_diff=apart, why=why, mend=again)
    return ProviderFinding(name=name, works=True, max_abs_diff=apart)


def _about_gpu(gpu: str | None, installed: Mapping[str, str], providers: list[ProviderFinding]) -> list[Finding]:
    """Whether the distribution fits the machine."""
    cuda = next(one for one in providers if one.name == "cuda")
    if len(installed) != 1 or cuda.works:
        return []
    if gpu and "onnxruntime" in installed:
        what = f"{gpu} is not used: onnxruntime is the distribution for CPUs"
        return [Finding(what=what, mend="pip uninstall -y onnxruntime && pip install 'rnnx[gpu]'", broken=False)]
    if gpu and "onnxruntime-gpu" in installed:
        return [Finding(what=f"{gpu} cannot be used: {cuda.why}", mend="pip install 'rnnx[gpu]'", broken=True)]
    if "onnxruntime-gpu" in installed:
        what = "onnxruntime-gpu is installed and there is no NVIDIA GPU; the CPU is used"
        return [Finding(what=what, mend="pip uninstall -y onnxruntime-gpu && pip install 'rnnx[cpu]'", broken=False)]
    return []
