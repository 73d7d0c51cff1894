"""``rnnx run``, ``rnnx verify``, ``rnnx doctor`` and the group around them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import rnnx
from rnnx.bundle import Bundle, write_manifest
from rnnx.cli.main import COMMANDS, main
from rnnx.cli.table import table
from rnnx.runtime import doctor

ATOL = 1e-6


def invoke(*arguments, code=0):
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    if code and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)


@pytest.fixture
def file(tmp_path, x):
    path = tmp_path / "x.npy"
    np.save(path, x)
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "some" / "out"


def saved(folder):
    return {path.stem: np.load(path) for path in folder.iterdir()}


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, reference in expected.items():
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=ATOL)


@pytest.mark.parametrize("form", ["list", "npy", "npz"])
def test_run(lstm, weights, x, file, out, tmp_path, form):  # noqa: PLR0917  (pytest passes them by name)
    np.save(tmp_path / "n.npy", np.array([5, 2], np.int32))
    h_0 = np.full((1, 2, 4), 0.5, np.float32)
    np.savez(tmp_path / "rest.npz", h_0=h_0, **({"lengths": np.array([5, 2])} if form == "npz" else {}))
    lengths = {"list": ["--lengths", "5,2"], "npy": ["--lengths", tmp_path / "n.npy"], "npz": []}[form]
    given = ["--input", f"features={file}", "--input", tmp_path / "rest.npz", *lengths]
    done = invoke("run", lstm, *given, "--output-dir", out, "--provider", "cpu", "--threads", 1)
    assert_close(saved(out), weights.run(x, [5, 2], h_0, np.zeros_like(h_0)))
    lines = done.output.splitlines()
    assert lines[0].split() == ["output", "dtype", "shape", "file"]
    assert lines[2] == f"y       float32  [2, 5, 4]  {out / 'y.npy'}"
    assert lines[-2:] == ["variant: fp32-offline", "provider: cpu"]


def test_run_tells_where_nodes_ran(lstm, x, file, out):
    given = ("run", lstm, "--input", f"features={file}", "--provider", "cpu", "--strict", "--placement")
    told = json.loads(invoke(*given, "--output-dir", out, "--json").stdout)["placement"]
    assert told["wanted"] == "CPUExecutionProvider"
    assert told["shapes"]["features"] == list(x.shape)
    assert "LSTM" in {one["operator"] for one in told["nodes"]}
    text = invoke(*given, "--output-dir", out).stdout
    (line,) = (one.split() for one in text.splitlines() if " LSTM " in one)
    assert "CPUExecutionProvider" in line
    assert "0 copies between devices, 0 bytes" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--range", "time"], "cannot read the range 'time'. Write it as 'AXIS=SMALLEST:USUAL:LARGEST'"),
        (["--provider", "cpu", "--range", "time=1:2:3"], "ranges is given with the provider 'cpu'"),
        (["--provider", "cpu", "--engine-cache", "x"], "engine_cache is given with the provider 'cpu'"),
        (["--provider", "tensorrt", "--range", "time=9:2:3"], "the range 'time=9:2:3' does not rise"),
        (["--provider", "tensorrt", "--range", "time=1:2:3"], "the model declares no largest size of 'batch'"),
        (["--strict"], "strict is given with the provider 'auto'"),
        (["--provider", "plugin:./none.so"], "there is no library 'none.so'"),
    ],
)
def test_run_refuses_wrong_ranges_and_providers(lstm, file, out, more, message):
    done = invoke("run", lstm, "--input", f"features={file}", "--output-dir", out, *more, code=1)
    assert message in done.stderr
    assert not out.exists()


def test_run_prints_json(lstm, file, out):
    report = json.loads(invoke("run", lstm, "--input", f"features={file}", "--output-dir", out, "--json").output)
    assert report["variant"] == "fp32-offline"
    assert report["provider"]["requested"] == "auto"
    assert report["outputs"][0] == {
        "name": "y",
        "dtype": "float32",
        "shape": [2, 5, 4],
        "file": str(out / "y.npy"),
    }


def test_run_replaces_what_it_wrote_before(lstm, file, out):
    out.mkdir(parents=True)
    (out / "y.npy").write_bytes(b"old")
    invoke("run", lstm, "--input", f"features={file}", "--output-dir", out)
    assert saved(out)["y"].shape == (2, 5, 4)


def test_run_refuses_wrong_files(lstm, file, out, tmp_path):
    def refused(*arguments, message):
        done = invoke("run", lstm, *arguments, "--output-dir", out, code=1)
        assert done.stdout == ""
        assert done.stderr.startswith("Error: ")
        assert message in done.stderr
        assert not out.exists(), "nothing is written"

    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "cut.npy").write_bytes(file.read_bytes()[:-10])
    np.savez(tmp_path / "a.npz", features=np.zeros(1))
    (tmp_path / "a.npz").rename(tmp_path / "several.npy")
    (tmp_path / "one.npz").write_bytes(file.read_bytes())
    np.savez(tmp_path / "twice.npz", features=np.zeros(1))
    for name, message in {
        "absent.npy": "absent.npy' does not exist. Give a file that numpy.save wrote.",
        "pickled.npy": "pickled.npy' cannot be read as NumPy arrays without pickles",
        "text.npy": "text.npy' cannot be read",
        "empty.npy": "empty.npy' cannot be read",
        "cut.npy": "cut.npy' cannot be read",
        "several.npy": "several.npy' holds several arrays, not one",
    }.items():
        refused("--input", f"features={tmp_path / name}", message=message)
    refused("--input", tmp_path / "text.npz", message="text.npz' cannot be read")
    refused("--input", tmp_path / "one.npz", message="one.npz' holds one array without a name")
    refused("--input", tmp_path / "absent.npz", message="absent.npz' does not exist")
    refused("--input", f"features={file}", "--input", tmp_path / "twice.npz", message="input 'features' is given twice")
    refused("--input", f"feature={file}", message="input 'features' is missing")
    refused("--input", f"features={file}", "--lengths", "9,9", message="length 9 of row 0")
    refused("--input", f"features={file}", "--provider", "gpu", message="provider 'gpu' is not known")
    refused("--input", f"features={file}", "--precision", "fp16", message="has no variant 'fp16-offline'")


def test_run_says_where_it_cannot_write(lstm, file, tmp_path):
    (tmp_path / "taken").touch()
    done = invoke("run", lstm, "--input", f"features={file}", "--output-dir", tmp_path / "taken", code=1)
    assert done.stderr.startswith("Error: [Errno 17] File exists")


def test_run_leaves_no_half_written_outputs(lstm, file, out, monkeypatch):
    real, calls = np.save, []

    def save(path, array, **options):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(path, array, **options)

    monkeypatch.setattr(np, "save", save)
    done = invoke("run", lstm, "--input", f"features={file}", "--output-dir", out, code=1)
    assert "No space left on device" in done.stderr
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", ".hidden", "a:b", "a\\b"])
def test_run_writes_nothing_outside_of_its_folder(out, name):
    from rnnx.cli.arrays import write_arrays
    from rnnx.errors import UnsafePathError

    with pytest.raises(UnsafePathError, match="so nothing is written"):
        write_arrays(str(out), {"y": np.zeros(1), name: np.zeros(1)})
    assert not out.exists()


def test_usage_errors_exit_with_2(lstm, file, out):
    done = invoke("run", lstm, "--input", "x", "--output-dir", out, code=2)
    assert "'x' is neither NAME=FILE.npy nor FILE.npz" in done.stderr
    given = ["run", lstm, "--input", f"features={file}", "--output-dir", out]
    assert "nor whole numbers such as 31,7" in invoke(*given, "--lengths", "a,b", code=2).stderr
    assert "'--threads'" in invoke(*given, "--threads", "0", code=2).stderr
    assert "Missing option '--output-dir'" in invoke(*given[:-2], code=2).stderr
    assert "No such command 'nope'" in invoke("nope", code=2).stderr
    assert not out.exists()


def test_no_bundle(tmp_path, file, out):
    done = invoke("run", tmp_path / "no.rnnx", "--input", f"features={file}", "--output-dir", out, code=1)
    assert "no.rnnx' does not exist, so it is no bundle" in done.stderr
    assert "does not exist" in invoke("verify", tmp_path / "no.rnnx", code=1).stderr


def test_verify(lstm):
    done = invoke("verify", lstm, "--provider", "cpu")
    lines = done.output.splitlines()
    assert lines[0].split() == ["variant", "case", "inputs", "output", "max_abs_diff", "allowed", "result"]
    assert len(lines) == 2 + 9 + 2
    assert all(line.endswith("pass") for line in lines[2:-2])
    assert "features[3,7,3]" in lines[4]
    assert lines[-2] == "provider: cpu"
    assert lines[-1] == f"{lstm}: 2 files have their hashes, 9 outputs compared, passed."
    assert json.loads(invoke("verify", lstm, "--json").output)["passed"] is True


def test_verify_of_a_wrong_bundle_exits_with_1(make_lstm, golden, weights):
    for case in golden:
        case.outputs["h_n"][:] += 0.01
    path = make_lstm(golden=golden)
    done = invoke("verify", path, code=1)
    assert sum(line.endswith("FAIL") for line in done.output.splitlines()) == 3
    assert done.output.endswith("FAILED: 3 of 9 miss.\n")
    assert json.loads(invoke("verify", path, "--json", code=1).output)["passed"] is False
    (path / "fp32-offline.onnx").write_bytes(b"")
    assert "has 0 bytes, the manifest says" in invoke("verify", path, code=1).stderr


def test_verify_without_cases_exits_with_1(make_lstm, golden):
    from rnnx.bundle import golden_bytes
    from rnnx.manifest import GOLDEN

    path = make_lstm(golden=golden)
    (path / GOLDEN).write_bytes(golden_bytes([]))
    write_manifest(path, Bundle.open(path).manifest)
    assert invoke("verify", path, code=1).output.endswith("FAILED: no cases.\n")


def test_doctor():
    done = invoke("doctor")
    lines = done.output.splitlines()
    assert len(lines) <= 24, "one screen"
    assert lines[0].startswith(f"rnnx         {rnnx.__version__}, Python ")
    assert lines[-1] == "healthy"
    assert any(line.startswith("cpu       works  ") for line in lines)
    assert json.loads(invoke("doctor", "--json").output)["healthy"] is True


def test_a_broken_machine_exits_with_1(monkeypatch):
    monkeypatch.setattr(doctor, "distributions", lambda: {"onnxruntime": "1", "onnxruntime-gpu": "2"})
    done = invoke("doctor", code=1)
    assert "BROKEN: onnxruntime and onnxruntime-gpu are both installed" in done.output
    assert "  mend: pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'rnnx[gpu]'" in done.output
    assert done.output.endswith("not healthy\n")
    assert json.loads(invoke("doctor", "--json", code=1).output)["healthy"] is False


@pytest.mark.parametrize("program", [["-m", "rnnx"], ["-c", "from rnnx.cli.main import main; main(prog_name='rnnx')"]])
def test_as_a_process(program, lstm, tmp_path):
    def run(*arguments):
        command = [sys.executable, *program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ)

    assert run("--version").stdout == f"rnnx, version {rnnx.__version__}\n"
    shown = run("--help")
    assert shown.returncode == 0
    assert all(f"  {name} " in shown.stdout for name in COMMANDS)
    assert run("verify", lstm).returncode == 0
    failed = run("verify", tmp_path / "no.rnnx")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: ")
    assert "Traceback" not in failed.stderr


def test_table():
    text = table(("name", "value"), [("a", 6.04e-8), ("long name", 12), ("b", "")])
    assert text.splitlines() == [
        "name       value",
        "---------  -------",
        "a          6.0e-08",
        "long name  12",
        "b",
    ]
    assert table(("a", "b"), []).splitlines() == ["a  b", "-  -"]
