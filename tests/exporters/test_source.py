"""Where models come from: files, modules, classes, instances, and every way in which that fails."""

import hashlib
import importlib
import re
import sys

import pytest
import torch
from torch import nn

from rnnx.errors import CheckpointError, SourceError
from rnnx.exporters import load_source
from rnnx.exporters.source import parse_init

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, hidden_size=4, kinds=("a",), name=""):
        super().__init__()
        self.lstm = nn.LSTM(3, hidden_size)
        self.drop = nn.Dropout(0.5)
        self.kinds, self.name = kinds, name

class Family:
    @staticmethod
    def small():
        return Net(2)

def build(**options):
    return Net(**options)

def no_model():
    return "no model"

def broken():
    raise RuntimeError("out of luck")

def ends():
    raise SystemExit(3)

ready = Net(6)
NUMBER = 7
_hidden = build
"""


@pytest.fixture
def net(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(NET)
    return file


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Whatever happens, a source leaves the import path as it was."""
    before = list(sys.path)
    yield
    assert sys.path == before


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def refused(source, message, **options):
    with pytest.raises(SourceError, match=f"{re.escape(message)}$"):
        load_source(str(source), **options)


def test_a_file(net):
    loaded = load_source(f"{net}:build", init={"hidden_size": 5})
    assert type(loaded.module).__name__ == "Net"
    assert loaded.module.lstm.hidden_size == 5
    assert loaded.origin == {
        "source": f"{net}:build",
        "init": {"hidden_size": "5"},
        "sha256": hashlib.sha256(net.read_bytes()).hexdigest(),
    }


def test_a_relative_path(net, monkeypatch):
    monkeypatch.chdir(net.parent)
    assert load_source("net.py:Net").origin["source"] == "net.py:Net"


@pytest.mark.parametrize(("attribute", "hidden_size"), [("Net", 4), ("Family.small", 2), ("ready", 6), ("_hidden", 4)])
def test_what_may_stand_after_the_colon(net, attribute, hidden_size):
    assert load_source(f"{net}:{attribute}").module.lstm.hidden_size == hidden_size


def test_an_instance_keeps_its_weights(tmp_path):
    file = write(tmp_path, "one.py", "import torch\nfrom torch import nn\ntorch.manual_seed(5)\nready = nn.GRU(2, 3)\n")
    module = load_source(f"{file}:ready").module
    torch.manual_seed(5)
    for name, value in nn.GRU(2, 3).state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=0, atol=0)


def test_the_model_is_in_eval_mode(net):
    assert [one.training for one in load_source(f"{net}:Net").module.modules()] == [False] * 3
    assert [one.training for one in load_source(f"{net}:ready").module.modules()] == [False] * 3


def test_a_module_of_a_package(tmp_path, monkeypatch):
    write(tmp_path / "zoo_of_source", "__init__.py", "")
    write(tmp_path / "zoo_of_source", "sizes.py", "SIZE = 5\n")
    text = (
        "from torch import nn\nfrom .sizes import SIZE\ndef build(bias=True):\n    return nn.GRU(3, SIZE, bias=bias)\n"
    )
    file = write(tmp_path / "zoo_of_source", "nets.py", text)
    monkeypatch.chdir(tmp_path)
    loaded = load_source("zoo_of_source.nets:build", init={"bias": False})
    assert (loaded.module.hidden_size, loaded.module.bias) == (5, False)
    assert loaded.origin == {
        "source": "zoo_of_source.nets:build",
        "init": {"bias": "False"},
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def test_an_installed_module():
    loaded = load_source("torch.nn:LSTM", init={"input_size": 2, "hidden_size": 3})
    assert type(loaded.module) is nn.LSTM
    assert not loaded.module.training


def test_modules_beside_the_file(tmp_path):
    write(tmp_path, "sizes_beside.py", "SIZE = 9\n")
    write(tmp_path / "parts_beside", "__init__.py", "")
    write(
        tmp_path / "parts_beside",
        "cell.py",
        "from torch import nn\nfrom sizes_beside import SIZE\nCELL = nn.GRU(1, SIZE)\n",
    )
    # One import when the file is read, one when the model is built.
    text = "from parts_beside.cell import CELL\ndef build():\n    import sizes_beside\n    return CELL\n"
    assert load_source(f"{write(tmp_path, 'model.py', text)}:build").module.hidden_size == 9


@pytest.mark.parametrize("name", ["models.py", "test.py", "torch.py", "rnnx.py", "source.py", "my-model.py"])
def test_a_file_may_be_called_anything(tmp_path, name):
    module = name.removesuffix(".py")
    before = sys.modules.get(module)
    file = write(tmp_path, name, NET)
    assert load_source(f"{file}:build").module.lstm.hidden_size == 4
    assert sys.modules.get(module) is before


def test_two_files_of_one_name(tmp_path):
    text = "from torch import nn\ndef build():\n    return nn.GRU(1, {})\n"
    first, second = (write(tmp_path / str(size), "model.py", text.format(size)) for size in (3, 8))
    assert load_source(f"{first}:build").module.hidden_size == 3
    assert load_source(f"{second}:build").module.hidden_size == 8
    first.write_text(text.format(5))
    assert load_source(f"{first}:build").module.hidden_size == 5, "a changed file is read again"


def test_two_siblings_of_one_name(tmp_path):
    """The second `import layers_beside` must not be answered with the first one's."""
    for size in (3, 8):
        write(tmp_path / str(size), "layers_beside.py", f"SIZE = {size}\n")
        write(tmp_path / str(size) / "sub_beside", "__init__.py", "")
        write(tmp_path / str(size) / "sub_beside", "deep.py", f"SIZE = {size}\n")
        text = (
            "from torch import nn\nfrom layers_beside import SIZE\nfrom sub_beside import deep\n"
            "class Net(nn.GRU):\n    def __init__(self):\n        super().__init__(1, SIZE + deep.SIZE)\n"
            "    def size(self):\n        return SIZE\n"
        )
        write(tmp_path / str(size), "model.py", text)
    first = load_source(f"{tmp_path / '3' / 'model.py'}:Net").module
    assert "layers_beside" in sys.modules, "the model may still import it later"
    second = load_source(f"{tmp_path / '8' / 'model.py'}:Net").module
    assert (first.hidden_size, second.hidden_size) == (6, 16)
    assert (first.size(), second.size()) == (3, 8)


def test_what_the_process_imports_itself_is_never_forgotten(tmp_path, monkeypatch, net):
    write(tmp_path / "lib", "ours_of_source.py", "COUNT = [0]\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    file = write(tmp_path / "lib", "model.py", "import ours_of_source\n" + NET)
    load_source(f"{file}:Net")
    ours = sys.modules["ours_of_source"]
    load_source(f"{net}:Net")
    assert importlib.import_module("ours_of_source") is ours


def test_the_checkpoint_is_part_of_the_origin(net, tmp_path):
    torch.manual_seed(3)
    state = load_source(f"{net}:Net").module.state_dict()
    torch.save(state, tmp_path / "weights.pt")
    loaded = load_source(f"{net}:Net", checkpoint=tmp_path / "weights.pt")
    for name, value in loaded.module.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    assert loaded.origin["checkpoint"] == "weights.pt"
    assert loaded.origin["checkpoint_sha256"] == hashlib.sha256((tmp_path / "weights.pt").read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=r"no.pt' does not exist. Give the path of a weights file.$"):
        load_source(f"{net}:Net", checkpoint=tmp_path / "no.pt")


def test_a_pickled_model_may_need_the_modules_beside_it(net, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    pickled = importlib.import_module("net").Net(3)
    torch.save(pickled, tmp_path / "whole.pt")
    monkeypatch.undo()
    del sys.modules["net"]
    loaded = load_source(f"{net}:Net", init={"hidden_size": 3}, checkpoint=tmp_path / "whole.pt", trust_pickle=True)
    torch.testing.assert_close(loaded.module.lstm.weight_hh_l0, pickled.lstm.weight_hh_l0, rtol=0, atol=0)


@pytest.mark.parametrize("source", ["net.py", "net.py:", ":build", ""])
def test_a_source_has_two_parts(source):
    refused(source, f"source '{source}' must be 'path/file.py:callable' or 'package.module:callable'.")


def test_a_missing_file(tmp_path):
    file = tmp_path / "no.py"
    refused(f"{file}:build", f"the source file '{file}' does not exist. Give the path of a Python file.")


def test_a_missing_attribute_lists_what_is_there(net):
    there = "'Net', 'Family', 'build', 'no_model', 'broken', 'ends', 'ready'"
    refused(f"{net}:buld", f"'{net}:buld': there is no 'buld'. Callables there: {there}.")
    refused(f"{net}:Family.large", f"'{net}:Family.large': there is no 'large'. Callables there: 'small'.")
    refused(f"{net}:NUMBER.build", f"'{net}:NUMBER.build': there is no 'build'. Callables there: none.")


def test_no_model(net):
    refused(f"{net}:no_model", f"'{net}:no_model' returned an object of type 'str'; it must return an nn.Module.")
    refused(f"{net}:NUMBER", f"'{net}:NUMBER' is of type 'int'; it must be a callable that returns an nn.Module.")


def test_a_factory_that_fails(net):
    end = "Arguments are given with --init key=value."
    refused(f"{net}:broken", f"'{net}:broken' failed with the arguments {{}}: RuntimeError: out of luck. {end}")
    refused(f"{net}:ends", f"'{net}:ends' failed with the arguments {{}}: SystemExit: 3. {end}")
    refused(
        f"{net}:no_model",
        f"'{net}:no_model' failed with the arguments {{'size': 3}}: TypeError: no_model() got an unexpected keyword "
        f"argument 'size'. {end}",
        init={"size": 3},
    )


def test_arguments_for_a_model_that_is_ready(net):
    refused(
        f"{net}:ready",
        f"'{net}:ready' is a model already, so the arguments {{'hidden_size': 3}} go nowhere. Leave --init out, or "
        "name the class or function that builds it.",
        init={"hidden_size": 3},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero."),
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'."),
        ("def f(:\n", "SyntaxError: invalid syntax (bad.py, line 1)."),
        ("raise SystemExit(2)\n", "SystemExit: 2."),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path, text, reason):
    file = write(tmp_path, "bad.py", text)
    names = set(sys.modules)
    refused(f"{file}:build", f"importing '{file}' failed: {reason}")
    assert not {name for name in set(sys.modules) - names if "source" in name}, "no half-imported module stays"


def test_an_interrupt_stays_one(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        load_source(f"{write(tmp_path, 'slow.py', 'raise KeyboardInterrupt')}:build")


def test_a_module_that_cannot_be_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "bad_of_source.py", "1 / 0\n")
    write(tmp_path, "ends_of_source.py", "raise SystemExit(2)\n")
    refused("bad_of_source:build", "importing 'bad_of_source' failed: ZeroDivisionError: division by zero.")
    refused("ends_of_source:build", "importing 'ends_of_source' failed: SystemExit: 2.")
    hint = "A file is written with its ending: 'path/file.py:callable'."
    found = "the source's module '{0}' cannot be imported: No module named '{0}'."
    refused("no_such_module:build", f"{found.format('no_such_module')} {hint}")
    refused("dir/model:build", f"{found.format('dir/model')} {hint}")


def test_parse_init():
    texts = [
        "size=256",
        "rate=0.5",
        "sizes=[1, 2]",
        "name=lstm",
        "quoted='4'",
        "empty=",
        "eq=a=b",
        " bias =False",
        "x=None",
    ]
    assert parse_init(texts) == {
        "size": 256,
        "rate": 0.5,
        "sizes": [1, 2],
        "name": "lstm",
        "quoted": "4",
        "empty": "",
        "eq": "a=b",
        "bias": False,
        "x": None,
    }
    assert parse_init([]) == {}
    # A literal, never an expression: nothing is evaluated.
    assert parse_init(["code=__import__('os').getcwd()"]) == {"code": "__import__('os').getcwd()"}


@pytest.mark.parametrize("text", ["size", "=4", "1size=4", "a.b=4", "a b=4", ""])
def test_parse_init_refuses(text):
    with pytest.raises(SourceError, match=f"^'{re.escape(text)}' must be 'key=value', such as 'hidden_size=256'.$"):
        parse_init([text])


def test_init_reaches_the_callable_as_parsed(net):
    init = parse_init(["hidden_size=3", "kinds=['x', 'y']", "name=speech"])
    module = load_source(f"{net}:build", init=init).module
    assert (module.lstm.hidden_size, module.kinds, module.name) == (3, ["x", "y"], "speech")
