"""``rnnx export``, and what it makes in the hands of the other commands: ``inspect``, ``verify`` and ``run``."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rnnx.bundle import Bundle
from rnnx.cli.main import COMMANDS, main
from rnnx.exporters import load_source

ATOL = 1e-6
X = "x: float32[batch, time, 3]"
MODEL = """
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

class Tagger(nn.Module):
    def __init__(self, hidden_size=4):
        super().__init__()
        self.gru = nn.GRU(3, hidden_size, batch_first=True)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        y, h_n = self.gru(x)
        return self.drop(y), h_n

class Ragged(Tagger):
    def forward(self, x, lengths, h_0=None):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, h_n = self.gru(packed, h_0)
        return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], h_n

class Liar(Tagger):
    def forward(self, x):
        y, h_n = self.gru(x)
        return y + (1 if torch.compiler.is_exporting() else 0), h_n
"""


def invoke(*arguments, code=0):
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    if code:
        assert isinstance(done.exception, SystemExit), "an error is an exit code and a message, never a traceback"
    return done


def refused(*arguments, message, code=1):
    done = invoke(*arguments, code=code)
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a model's code, its weights, other weights, and the bundle of the first."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "model.py").write_text(MODEL)
    for seed, name in ((1, "weights.pt"), (2, "other.pt")):
        torch.manual_seed(seed)
        state = load_source(f"{folder / 'model.py'}:Tagger", init={"hidden_size": 5}).module.state_dict()
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / name)
    return folder


@pytest.fixture(scope="module")
def given(home):
    """The source of the bundle, as every command takes it."""
    return ["--init", "hidden_size=5", "--checkpoint", home / "weights.pt"]


@pytest.fixture(scope="module")
def exported(home, given):
    """What ``rnnx export`` printed while it made ``tagger.rnnx``."""
    return invoke("export", f"{home / 'model.py'}:Tagger", *given, "--input", X, "-o", home / "tagger.rnnx")


@pytest.fixture(scope="module")
def bundle(home, exported):
    return home / "tagger.rnnx"


@pytest.fixture(scope="module")
def reference(home):
    """The model itself, with the weights of the bundle."""
    loaded = load_source(f"{home / 'model.py'}:Tagger", init={"hidden_size": 5}, checkpoint=home / "weights.pt")

    def run(x):
        with torch.no_grad():
            y, h_n = loaded.module(torch.from_numpy(x))
        return {"output": y.numpy(), "h_n": h_n.numpy()}

    return run


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)


def assert_saved(folder, expected):
    assert {path.name for path in folder.iterdir()} == {f"{name}.npy" for name in expected}
    for name, value in expected.items():
        np.testing.assert_allclose(np.load(folder / f"{name}.npy"), value, rtol=0, atol=ATOL)


def test_the_report_on_the_terminal(exported, bundle):
    lines = exported.stdout.splitlines()
    assert lines[0].split() == ["batch", "time", "output", "h_n", "result"]
    rows = [line.split() for line in lines[2:17]]
    assert {(row[0], row[1]) for row in rows} == {(b, t) for b in "125" for t in ("1", "2", "7", "33", "257")}
    assert all(float(row[2]) < 1e-5 and float(row[3]) < 1e-5 and row[4] == "pass" for row in rows)
    assert lines[17].startswith("fp32-offline: 15 cases, all pass; max_abs_diff ")
    assert lines[19].split() == ["batch", "time", "chunks", "output", "h_n", "result"]
    assert lines[-3].startswith("fp32-streaming: 42 cases, all pass; max_abs_diff ")
    assert lines[-1] == f"wrote {bundle} (fp32-offline, fp32-streaming; opset 20)"


def test_progress_goes_to_stderr(exported):
    stages = ["capture", "lower", "name", "fold", "simplify", "opset", "check", "parity", "stream", "write"]
    assert exported.stderr.splitlines() == [f"{stage} ..." for stage in stages]


def test_what_the_manifest_says(home, bundle):
    manifest = Bundle.open(bundle).manifest
    assert manifest.name == "tagger"
    assert [str(one) for one in manifest.signature.inputs] == [X]
    assert [str(one) for one in manifest.signature.outputs] == [
        "output: float32[batch, time, 5]",
        "h_n: float32[1, batch, 5]",
    ]
    assert manifest.source["source"] == f"{home / 'model.py'}:Tagger"
    assert manifest.source["init"] == {"hidden_size": "5"}
    assert manifest.source["checkpoint"] == "weights.pt"
    assert len(manifest.source["sha256"]) == len(manifest.source["checkpoint_sha256"]) == 64


def test_every_option(home, tmp_path, x):
    out = tmp_path / "ragged.rnnx"
    done = invoke(
        *["export", f"{home / 'model.py'}:Ragged", "--input", X, "--lengths", "lengths", "--init", "hidden_size=4"],
        *["--state", "h_0: float32[1, batch, 4]", "--output", "frames", "--output", "last", "--range", "time=2:40"],
        *["--range", "batch=1:", "--example", "time=9", "--name", "speech", "--opset", "18", "--no-simplify", "--json"],
        *["--out", out],
    )
    report = json.loads(done.stdout)
    opened = Bundle.open(out)
    assert report["bundle"] == str(out)
    assert report["sha256"] == opened.sha256
    assert report["notes"] == list(opened.manifest.notes)
    assert report["notes"][-1] == "onnxsim was switched off."
    assert report["streaming"]["passed"] is True
    assert report["parity"]["passed"] is True
    assert report["parity"]["undefined"] == {}
    assert {case["sizes"]["time"] for case in report["parity"]["cases"]} == {2, 3, 7, 33, 40}
    assert {case["lengths"] for case in report["parity"]["cases"]} == {"full", "ones", "mixed", "short"}
    assert {case["states"] for case in report["parity"]["cases"]} == {"absent", "random"}
    assert opened.manifest.name == "speech"
    assert opened.manifest.variants[0].opset == 18
    signature = opened.manifest.signature
    assert {str(one) for one in signature.ranges} == {"batch >= 1", "2 <= time <= 40"}
    assert [one.name for one in signature.outputs] == ["frames", "last"]
    assert [one.name for one in signature.states] == ["h_0"]

    torch.manual_seed(3)
    source = load_source(f"{home / 'model.py'}:Ragged").module
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    more = ["--checkpoint", tmp_path / "weights.pt", "--input", X, "--lengths", "lengths"]
    state = ["--state", "h_0: float32[1, batch, 4]"]
    invoke("export", f"{home / 'model.py'}:Ragged", *more, *state, "-o", out, "--force")
    h_0 = np.full((1, 2, 4), 0.5, np.float32)
    np.savez(tmp_path / "in.npz", x=x, h_0=h_0)
    invoke("run", out, "--input", tmp_path / "in.npz", "--lengths", "6,3", "--output-dir", tmp_path / "out")
    with torch.no_grad():
        y, h_n = source(torch.from_numpy(x), torch.tensor([6, 3]), torch.from_numpy(h_0))
    names = [one.name for one in Bundle.open(out).manifest.signature.outputs]
    assert_saved(tmp_path / "out", dict(zip(names, (y.numpy(), h_n.numpy()), strict=True)))


def test_run_gives_the_sources_answers(bundle, reference, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    invoke("run", bundle, "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", tmp_path / "out", "--provider", "cpu")
    assert_saved(tmp_path / "out", reference(x))


def test_inspect(bundle, home):
    text = invoke("inspect", bundle).stdout
    assert text.startswith(f"tagger ({bundle}), SHA-256 {Bundle.open(bundle).sha256[:16]}\n")
    assert "input   x: float32[batch, time, 3]" in text
    assert "output  output: float32[batch, time, 5]" in text
    assert "axis    time >= 1" in text
    assert "GRU:1" in text
    assert f"source\n  source: {home / 'model.py'}:Tagger\n  init: hidden_size=5\n" in text
    assert "torch 2." in text
    for name, entry in Bundle.open(bundle).manifest.files.items():
        assert f"{name} " in text
        assert entry.sha256[:16] in text
    assert json.loads(invoke("inspect", bundle, "--json").stdout) == Bundle.open(bundle).manifest.to_json()


def test_inspect_checks_every_file(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy.rnnx")
    (copy / "parity.json").write_text("{}")
    refused("inspect", copy, message="parity.json' has 2 bytes, the manifest says")
    refused("inspect", tmp_path / "no.rnnx", message="no.rnnx' does not exist, so it is no bundle")


def test_verify_by_golden_vectors(bundle):
    done = invoke("verify", bundle)
    assert done.stdout.rstrip().endswith(" outputs compared, passed.")
    report = json.loads(invoke("verify", bundle, "--json").stdout)
    assert report["passed"] is True
    assert report["parity"] == []
    assert {row["output"] for row in report["rows"]} == {"output", "h_n"}


def test_verify_against_the_source(bundle, home, given):
    source = ["--source", f"{home / 'model.py'}:Tagger"]
    text = invoke("verify", bundle, *source, *given).stdout
    assert "fp32-offline: 15 cases, all pass; max_abs_diff " in text
    report = json.loads(invoke("verify", bundle, *source, *given, "--json").stdout)
    assert report["passed"] is True
    (parity,) = report["parity"]
    assert parity["passed"] is True
    assert len(parity["cases"]) == 30


def test_verify_against_other_weights(bundle, home):
    source = ["--source", f"{home / 'model.py'}:Tagger", "--init", "hidden_size=5"]
    text = invoke("verify", bundle, *source, "--checkpoint", home / "other.pt", code=1).stdout
    assert "outputs compared, passed." in text, "the golden vectors are the bundle's own"
    assert "fp32-offline: 15 cases, 15 MISS; max_abs_diff " in text
    assert sum(line.endswith("MISS") for line in text.splitlines()) == 15
    report = json.loads(invoke("verify", bundle, *source, "--checkpoint", home / "other.pt", "--json", code=1).stdout)
    assert report["passed"] is True
    assert report["parity"][0]["passed"] is False
    assert not any(case["passed"] for case in report["parity"][0]["cases"])


def test_verify_against_another_source(bundle, home, given):
    refused(
        *["verify", bundle, "--source", f"{home / 'model.py'}:Ragged", *given],
        message="Ragged.forward needs the argument 'lengths', which no input goes to",
    )
    refused("verify", bundle, "--source", f"{home / 'model.py'}:Tager", message="there is no 'Tager'. Callables there:")


@pytest.mark.parametrize("option", [["--init", "a=1"], ["--checkpoint", "weights.pt"], ["--trust-pickle"]])
def test_verify_needs_a_source_for_what_describes_it(bundle, option):
    refused("verify", bundle, *option, message="describe a source: give --source too.", code=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--range", "time"], "Invalid value for '--range': 'time' must be AXIS=MIN:MAX, such as 'time=1:64'"),
        (["--range", "time=1"], "'time=1' must be AXIS=MIN:MAX"),
        (["--range", "time=a:3"], "'time=a:3' must be AXIS=MIN:MAX"),
        (["--range", "=1:3"], "'=1:3' must be AXIS=MIN:MAX"),
        (["--example", "time=0"], "Invalid value for '--example': 'time=0' must be AXIS=SIZE, such as 'time=12'."),
        (["--example", "time"], "'time' must be AXIS=SIZE"),
        (["--input", "y float32"], "Invalid value for '--input': cannot read the declaration 'y float32'. Write it as"),
        (["--input", "y: float[batch]"], "dtype 'float' in 'y: float[batch]' is not known"),
        (
            ["--state", "h: float32[1, b-c]"],
            "Invalid value for '--state': axis 'b-c' in 'h: float32[1, b-c]' is",
        ),
        (["--nope"], "No such option '--nope'"),
        (["--opset", "new"], "Invalid value for '--opset': 'new' is not a valid integer"),
        (["another.py:build"], "Got unexpected extra argument (another.py:build)"),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path, home, options, message):
    given = ["export", f"{home / 'model.py'}:Tagger", "--input", X, "-o", tmp_path / "model.rnnx"]
    refused(*given, *options, message=message, code=2)
    assert list(tmp_path.iterdir()) == []


def test_what_must_be_given(tmp_path, home):
    source = f"{home / 'model.py'}:Tagger"
    refused("export", message="Missing argument 'SOURCE'", code=2)
    refused("export", source, "--input", X, message="Missing option '-o' / '--out'", code=2)
    refused("export", source, "-o", tmp_path / "model.rnnx", message="Missing option '--input'", code=2)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("no.py:Tagger", [], "Error: the source file 'no.py' does not exist. Give the path of a Python file.\n"),
        ("{}", [], "model.py' must be 'path/file.py:callable' or 'package.module:callable'."),
        ("{}:Taggr", [], "there is no 'Taggr'. Callables there: "),
        ("{}:Tagger", ["--checkpoint", "no.pt"], "Error: the checkpoint 'no.pt' does not exist."),
        ("{}:Tagger", ["--init", "hidden_size"], "'hidden_size' must be 'key=value', such as 'hidden_size=256'."),
        ("{}:Tagger", ["--init", "hiden_size=3"], "unexpected keyword argument 'hiden_size'"),
        ("{}:Tagger", ["--range", "time=9:3"], "the range 9 to 3 of the axis 'time' is empty"),
        ("{}:Tagger", ["--input", "x: float32[batch]"], "input 'x' is declared twice."),
        ("{}:Tagger", ["--lengths", "lengths"], "which Tagger.forward does not have; it takes 'x'."),
        ("{}:Tagger", ["--output", "y"], "the model has 2 outputs, but 1 names are given: y."),
        ("{}:Tagger", ["--opset", "9"], "opset 9 cannot be written; allowed are 17 to "),
    ],
)
def test_failures_exit_with_1(tmp_path, home, source, options, message):
    source = source.format(home / "model.py")
    refused("export", source, "--input", X, "-o", tmp_path / "model.rnnx", *options, message=message)
    assert list(tmp_path.iterdir()) == []


def test_a_whole_pickle_names_the_option(tmp_path, home):
    torch.save(torch.nn.GRU(3, 4), tmp_path / "whole.pt")
    given = ["torch.nn:GRU", "--init", "input_size=3", "--init", "hidden_size=4", "--checkpoint", tmp_path / "whole.pt"]
    given += ["--input", "input: float32[time, batch, 3]", "-o", tmp_path / "gru.rnnx"]
    refused("export", *given, message="or pass --trust-pickle if you trust where it comes from.")
    assert not (tmp_path / "gru.rnnx").exists()
    invoke("export", *given, "--trust-pickle")
    assert [one.name for one in Bundle.open(tmp_path / "gru.rnnx").manifest.signature.outputs] == ["output", "h_n"]


def test_a_parity_miss_exits_with_1_and_writes_nothing(tmp_path, home):
    given = ["export", f"{home / 'model.py'}:Liar", "--input", X, "-o", tmp_path / "model.rnnx"]
    done = refused(*given, message="Error: no bundle was written: 15 of 15 cases differ from the source.")
    assert "parity ..." in done.stderr
    assert "write ..." not in done.stderr
    refused(*given, "--json", message="Error: no bundle was written: 15 of 15 cases differ")
    assert list(tmp_path.iterdir()) == []


def test_force(tmp_path, home, bundle):
    copy = shutil.copytree(bundle, tmp_path / "model.rnnx")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    source = [f"{home / 'model.py'}:Tagger", "--input", X, "-o", copy]
    refused("export", *source, message="model.rnnx' exists already. Choose another name, or replace it with --force.")
    liar = [f"{home / 'model.py'}:Liar", *source[1:]]
    refused("export", *liar, "--force", message="no bundle was written")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    invoke("export", *source, "--force")
    assert Bundle.open(copy).manifest.signature.output("output").axes == ("batch", "time", 4)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    refused("export", *source[:-1], tmp_path / "notes", "--force", message="is no bundle, so it is not replaced")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.rnnx", "notes"]
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


#: They report nothing: what they write or serve is their result. `zoo` is a group, whose commands report.
SILENT = {"kserve", "ray", "ray-data", "serve", "zoo"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    done = invoke(command, "--help")
    assert done.stdout.startswith(f"Usage: main {command} [OPTIONS]")
    assert ("--json" in done.stdout) is (command not in SILENT)
    assert invoke(command, "-h").stdout == done.stdout


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom rnnx.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(*(n for n in ('torch', 'onnx', 'onnx_ir', 'onnxruntime') if n in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "Usage: " in done.stdout
    assert done.stderr == "\n"


def test_the_whole_way_as_processes(home, given, reference, x, tmp_path):
    def run(*arguments, code=0):
        command = [sys.executable, "-m", "rnnx", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    shutil.copy(home / "model.py", tmp_path / "model.py")
    np.save(tmp_path / "x.npy", x)
    done = run("export", "model.py:Tagger", *given, "--input", X, "-o", "tagger.rnnx", "--json")
    assert json.loads(done.stdout)["parity"]["passed"] is True
    assert len(done.stderr.splitlines()) == 10
    assert json.loads(run("inspect", "tagger.rnnx", "--json").stdout)["name"] == "tagger"
    assert json.loads(run("verify", "tagger.rnnx", "--json").stdout)["passed"] is True
    wrong = ["--init", "hidden_size=5", "--checkpoint", home / "other.pt"]
    assert "15 MISS" in run("verify", "tagger.rnnx", "--source", "model.py:Tagger", *wrong, code=1).stdout
    run("run", "tagger.rnnx", "--input", "x=x.npy", "--output-dir", "out")
    assert_saved(tmp_path / "out", reference(x))
    assert run("export", "no.py:Tagger", "--input", X, "-o", "no.rnnx", code=1).stderr == (
        "Error: the source file 'no.py' does not exist. Give the path of a Python file.\n"
    )
    assert "No such option '--nope'" in run("export", "--nope", code=2).stderr
    assert not (tmp_path / "no.rnnx").exists()
