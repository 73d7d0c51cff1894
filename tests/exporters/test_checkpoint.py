"""Checkpoints as people save them: loaded exactly, reported strictly, and never executed."""

import os
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rnnx.errors import CheckpointError
from rnnx.exporters import load_checkpoint


class Net(nn.Module):
    def __init__(self, hidden_size=4, *, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.lstm = nn.LSTM(3, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size)
        self.head = nn.Linear(hidden_size, 2)


class Parallel(nn.Module):
    """Its own parameters are called as if a wrapper had named them."""

    def __init__(self, seed=0):
        super().__init__()
        self.module = Net(seed=seed)


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def state():
    """The weights to load, which differ from those of a fresh ``Net`` in every tensor."""
    trained = Net(seed=1)
    trained.norm.running_mean += 0.5
    trained.norm.num_batches_tracked += 3
    trained.norm.weight.data += 0.1
    trained.norm.bias.data -= 0.1
    trained.norm.running_var *= 2
    found = trained.state_dict()
    assert not any(torch.equal(value, found[name]) for name, value in Net().state_dict().items())
    return found


def assert_loaded(module, state):
    found = module.state_dict()
    assert found.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


def refused(path, message, *, module=None, **options):
    """The load fails with this message, and the model keeps every weight."""
    module = module or Net()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(module, path, **options)
    assert_loaded(module, before)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "bin"])
def test_a_state_dict(tmp_path, state, suffix):
    torch.save(state, tmp_path / f"weights.{suffix}")
    module = Net()
    load_checkpoint(module, tmp_path / f"weights.{suffix}")
    assert_loaded(module, state)


def test_the_path_may_be_a_text(tmp_path, state):
    torch.save(state, tmp_path / "weights.pt")
    module = Net()
    load_checkpoint(module, str(tmp_path / "weights.pt"))
    assert_loaded(module, state)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_safetensors(tmp_path, state, prefix):
    save_file(prefixed(state, prefix), tmp_path / "weights.safetensors")
    module = Net()
    load_checkpoint(module, tmp_path / "weights.safetensors")
    assert_loaded(module, state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": torch.tensor(0.1)}},
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"step": torch.tensor(1)}},
        lambda state: {"epoch": 1, "model": {"state_dict": prefixed(state, "module.")}},
        lambda state: {"model": "lstm-large", "weights": state},
        lambda state: {"state_dict": None, "net": state},
        lambda state: list(state.items()) and {**state},
    ],
    ids=["state_dict", "model", "model_state_dict", "nested twice", "a name", "None", "dict"],
)
def test_weights_among_other_things(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "weights.pt")
    module = Net()
    load_checkpoint(module, tmp_path / "weights.pt")
    assert_loaded(module, state)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "model.", "model._orig_mod.module."]
)
def test_prefixes_of_wrappers(tmp_path, state, prefix):
    torch.save({"state_dict": prefixed(state, prefix)}, tmp_path / "weights.pt")
    module = Net()
    load_checkpoint(module, tmp_path / "weights.pt")
    assert_loaded(module, state)


def test_a_prefix_that_is_the_models_own(tmp_path):
    trained = Parallel(seed=1)
    for name, saved in (("own", trained.state_dict()), ("wrapped", prefixed(trained.state_dict(), "module."))):
        torch.save(saved, tmp_path / f"{name}.pt")
        module = Parallel()
        load_checkpoint(module, tmp_path / f"{name}.pt")
        assert_loaded(module, trained.state_dict())


def test_a_prefix_on_some_keys_is_no_wrapper(tmp_path, state):
    mixed = prefixed(state, "module.")
    mixed["head.bias"] = mixed.pop("module.head.bias")
    torch.save(mixed, tmp_path / "weights.pt")
    refused(tmp_path / "weights.pt", r"missing \(10\): 'lstm.weight_ih_l0'")


def test_missing_keys(tmp_path, state):
    del state["head.bias"], state["lstm.weight_hh_l0"]
    torch.save(state, tmp_path / "weights.pt")
    file = re.escape(str(tmp_path / "weights.pt"))
    refused(
        tmp_path / "weights.pt",
        f"^the checkpoint '{file}' does not fit the model:\n"
        r"  missing \(2\): 'lstm.weight_hh_l0', 'head.bias'"
        "\nBuild the model as it was trained .--init key=value., or give the checkpoint that belongs to it.$",
    )


def test_unexpected_keys(tmp_path, state):
    state |= {f"decoder.{index}": torch.zeros(1) for index in range(10)}
    torch.save(state, tmp_path / "weights.pt")
    shown = ", ".join(f"'decoder.{index}'" for index in range(8))
    refused(tmp_path / "weights.pt", rf"model:\n  unexpected \(10\): {re.escape(shown)} and 2 more\nBuild")


def test_misshapen_keys(tmp_path):
    torch.save(Net(5).state_dict(), tmp_path / "weights.pt")
    wrong = r"'lstm.weight_ih_l0 is \(20, 3\), the model has \(16, 3\)'"
    refused(tmp_path / "weights.pt", rf"model:\n  of another shape \(9\): {wrong}, .* and 1 more\nBuild")


def test_the_whole_report(tmp_path, state):
    state["head.weight"] = state["head.weight"].T
    state["extra"] = state.pop("head.bias")
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "weights.safetensors")
    refused(
        tmp_path / "weights.safetensors",
        r"missing \(1\): 'head.bias'\n  unexpected \(1\): 'extra'\n"
        r"  of another shape \(1\): 'head.weight is \(4, 2\), the model has \(2, 4\)'\n",
    )


def test_a_model_that_has_not_seen_its_sizes(tmp_path):
    torch.manual_seed(1)
    trained = nn.Linear(3, 2)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    module = nn.LazyLinear(2)
    load_checkpoint(module, tmp_path / "weights.pt")
    assert_loaded(module, trained.state_dict())


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: {"model": net, "epoch": 2}], ids=["bare", "nested"])
def test_a_whole_model_needs_trust(tmp_path, wrap):
    trained = nn.Sequential(nn.GRU(3, 4))
    torch.save(wrap(trained), tmp_path / "whole.pt")
    module = nn.Sequential(nn.GRU(3, 4))
    refused(
        tmp_path / "whole.pt",
        r"whole.pt' holds more than weights \(torch.nn.modules.container.Sequential\), and reading it would run code "
        r"from it. Save only weights, torch.save\(model.state_dict\(\), path\), or pass --trust-pickle if you trust "
        "where it comes from.$",
        module=module,
    )
    load_checkpoint(module, tmp_path / "whole.pt", trust_pickle=True)
    assert_loaded(module, trained.state_dict())


def test_numbers_of_numpy_need_trust(tmp_path, state):
    torch.save({"state_dict": state, "best": np.float64(0.5)}, tmp_path / "weights.pt")
    refused(tmp_path / "weights.pt", r"holds more than weights \(numpy\S*scalar\), .* or pass --trust-pickle")
    module = Net()
    load_checkpoint(module, tmp_path / "weights.pt", trust_pickle=True)
    assert_loaded(module, state)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path, state, zipped):
    target = tmp_path / "was_here"
    content = {"state_dict": state, "callback": Bomb(target)}
    torch.save(content, tmp_path / "bomb.pt", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "bomb.pt", r"holds more than weights \(\w+.mkdir\), .* or pass --trust-pickle")
    assert not target.exists()
    # The bomb is real: it goes off where it is trusted.
    load_checkpoint(Net(), tmp_path / "bomb.pt", trust_pickle=True)
    assert target.is_dir()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_code_in_a_plain_pickle_does_not_run(tmp_path, suffix):
    target = tmp_path / "was_here"
    file = tmp_path / f"bomb.{suffix}"
    file.write_bytes(pickle.dumps(Bomb(target)))
    refused(file, r"cannot be read: ")
    assert not target.exists()


def test_bytes_that_are_no_checkpoint_are_never_to_be_trusted(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"version https://git-lfs.example/spec/v1\n")
    reason = "cannot be read: it is no file that torch.save wrote, or it was cut or changed. Save or copy it again.$"
    for trust in (False, True):
        refused(tmp_path / "weights.pt", reason, trust_pickle=trust)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0, 0.02, 0.5, 0.95])
def test_a_truncated_pickle(tmp_path, state, part, zipped):
    file = tmp_path / "weights.pt"
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    refused(file, r"cannot be read: \w.*[^.]\. Save or copy it again.$")


@pytest.mark.parametrize("part", [0, 0.02, 0.5, 0.95])
def test_truncated_safetensors(tmp_path, state, part):
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    refused(file, r"cannot be read: .*\. Save or copy it again.$")


@pytest.mark.parametrize("name", ["weights.onnx", "weights.PT", "weights", "weights.pt.gz"])
def test_a_wrong_ending(tmp_path, state, name):
    torch.save(state, tmp_path / name)
    suffix = re.escape((tmp_path / name).suffix)
    refused(tmp_path / name, rf"ends with '{suffix}'; allowed are .pt, .pth, .ckpt, .bin and .safetensors.$")


def test_a_missing_file(tmp_path):
    refused(tmp_path / "no.pt", r"no.pt' does not exist. Give the path of a weights file.$")
    (tmp_path / "folder.pt").mkdir()
    refused(tmp_path / "folder.pt", r"folder.pt' does not exist. Give the path of a weights file.$")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "optimizer": {}}, "the keys 'epoch', 'optimizer'"),
        ({}, "a dict"),
        ([torch.zeros(2)], "a list"),
        (torch.zeros(3), "a Tensor"),
        ({"model": {"layers": 3}}, "the keys 'model'"),
    ],
)
def test_a_checkpoint_without_weights(tmp_path, content, found):
    torch.save(content, tmp_path / "weights.pt")
    refused(
        tmp_path / "weights.pt",
        f"weights.pt' has no state dict; it holds {found}. Weights are looked for at its top and under "
        r"'state_dict', 'model_state_dict', .*\. Save model.state_dict\(\).$",
    )


def test_other_dtypes_become_the_models(tmp_path, state):
    torch.save(
        {name: value.double() if value.is_floating_point() else value for name, value in state.items()},
        tmp_path / "d.pt",
    )
    module = Net()
    load_checkpoint(module, tmp_path / "d.pt")
    assert_loaded(module, state)
