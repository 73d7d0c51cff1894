"""Repositories of exported models: sequences cut as the README says answer as the source's own whole run."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest

import rnnx
from rnnx.runtime.deploy.triton import write_repository


def models():
    """Modules by name; each takes float32 ``(batch, time, 3)``."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.gru = nn.LSTM(3, 4, 2, batch_first=True), nn.GRU(4, 5, batch_first=True)

        def forward(self, x):
            return self.gru(self.lstm(x)[0])[0]

    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.h = nn.GRU(3, 5, batch_first=True), nn.Parameter(torch.randn(1, 1, 5))

        def forward(self, x):
            return self.gru(x, self.h.expand(1, x.shape[0], 5).contiguous())

    class Window(nn.Module):
        def __init__(self, *, kernel, stride, left, right):
            super().__init__()
            self.conv, self.gru = nn.Conv1d(3, 4, kernel, stride), nn.GRU(4, 5, batch_first=True)
            self.pad = left, right

        def forward(self, x):
            return self.gru(self.conv(functional.pad(x.transpose(1, 2), self.pad)).transpose(1, 2))[0]

    torch.manual_seed(3)
    return {
        "layers": Layers(),
        "learned": Learned(),
        "causal": Window(kernel=3, stride=1, left=2, right=0),
        "ahead": Window(kernel=5, stride=1, left=2, right=2),
        "halved": Window(kernel=3, stride=2, left=1, right=1),
        "skipped": Window(kernel=2, stride=3, left=0, right=0),
    }


@pytest.fixture(scope="module", params=["layers", "learned", "causal", "ahead", "halved", "skipped"])
def exported(request, tmp_path_factory):
    """A module, its bundle and its repository."""
    from rnnx.exporters import export

    folder = tmp_path_factory.mktemp("exported")
    module = models()[request.param].eval()
    export(module, inputs=["x: float32[batch, time, 3]"], out=folder / "m.rnnx", streaming="on")
    return module, folder / "m.rnnx", write_repository(folder / "m.rnnx", folder / "repository")


def rule(repository):
    """The function of the README that cuts a sequence; plain streams take what they are given."""
    found = re.search(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    if found is None:
        return lambda frames: ([2] * ((frames - 1) // 2), frames - 2 * ((frames - 1) // 2))
    names = {}
    exec(found[1], names)  # noqa: S102  (what is printed for people must run)
    return names["requests"]


@pytest.mark.slow
def test_sequences_answer_as_the_whole_run(exported, fake_triton):
    import torch

    module, bundle, written = exported
    server, cut = fake_triton(written.path / "m.streaming"), rule(written.path)
    for model in ("m", "m.streaming"):
        onnx.checker.check_model(onnx.load(written.path / model / "1/model.onnx"), full_check=True)
    compared = 0
    for frames in (1, 2, 3, 4, 7, 12, 13):
        x = np.random.default_rng(frames).standard_normal((1, frames, 3)).astype(np.float32)
        sizes, last = cut(frames)
        parts, at = [], 0
        for number, size in enumerate([*sizes, *[last] * bool(last)]):
            chunk = {"x": x[:, at : at + size]}
            (answer,) = server.infer((frames, chunk, number == 0, bool(last) and number == len(sizes)))
            parts.append(next(iter(answer.values())))
            at += size
        with rnnx.load(bundle, mode="streaming", provider="cpu") as session, session.stream() as stream:
            streamed = [stream.push(x), stream.finish()]
        expected = np.concatenate([next(iter(one.values())) for one in streamed], axis=1)
        given = np.concatenate(parts, axis=1) if parts else np.zeros((1, 0, 5), np.float32)
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6)
        if given.shape[1]:
            with torch.no_grad():
                whole = module(torch.from_numpy(x))
            whole = whole[0] if isinstance(whole, tuple) else whole
            np.testing.assert_allclose(given, whole.numpy(), rtol=0, atol=1e-5)
            compared += 1
    assert compared >= 4


@pytest.mark.slow
def test_sequences_of_several_clients_are_not_mixed(exported, fake_triton):
    _, bundle, written = exported
    server = fake_triton(written.path / "m.streaming")
    chunks = rnnx.Bundle.open(bundle).variant(mode="streaming").chunks
    first, step = (2, 2) if chunks is None else (chunks.first, chunks.multiple)
    x = np.random.default_rng(0).standard_normal((3, first + 2 * step, 3)).astype(np.float32)
    cuts = [slice(0, first), slice(first, first + step), slice(first + step, first + 2 * step)]
    answers = {row: [] for row in range(3)}
    for row, at in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)):
        (answer,) = server.infer((row + 1, {"x": x[row : row + 1, cuts[at]]}, at == 0, False))
        answers[row].append(next(iter(answer.values())))
    for row, parts in answers.items():
        with rnnx.load(bundle, mode="streaming", provider="cpu") as session, session.stream() as stream:
            alone = [next(iter(stream.push(x[row : row + 1, cut]).values())) for cut in cuts]
        np.testing.assert_allclose(np.concatenate(parts, 1), np.concatenate(alone, 1), rtol=0, atol=1e-6)
    if server.size:
        # Together in one run, at other points of their sequences: each begins one request after the other.
        again = {row: [] for row in range(3)}
        for when in range(5):
            running = [row for row in range(3) if 0 <= when - row < 3]
            requests = [(row + 11, {"x": x[row : row + 1, cuts[when - row]]}, when == row, False) for row in running]
            for row, answer in zip(running, server.infer(*requests), strict=True):
                again[row].append(next(iter(answer.values())))
        for row, parts in again.items():
            np.testing.assert_allclose(np.concatenate(parts, 1), np.concatenate(answers[row], 1), rtol=0, atol=1e-6)
