"""How many frames a window keeps and gives: the formulas against windows that are counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rnnx.exporters.passes.stream_windows import Window


def whole(frames, reach, stride, left, right):
    """Answers over everything: the sum of each window's frames, weighted by their place."""
    padded = np.concatenate([np.zeros(left), frames, np.zeros(right)])
    weights = 1.0 + np.arange(reach)
    return [float(padded[at : at + reach] @ weights) for at in range(0, len(padded) - reach + 1, stride)]


class Kept:
    """A stream by the book: a buffer of a fixed size, of which the first run uses the last ``left`` frames."""

    def __init__(self, window):
        self.window, self.buffer, self.begun = window, np.zeros(window.buffer), False

    def run(self, frames, *, ending=False):
        window = self.window
        there = np.concatenate([self.buffer, frames])
        self.buffer = there[len(there) - window.buffer :]
        used = there if self.begun else there[window.buffer - window.left :]
        used = np.concatenate([used, np.zeros(window.right if ending else 0)])
        answers = whole(used, window.reach, window.stride, 0, 0)
        assert len(answers) == window.count(len(frames), begun=self.begun, ending=ending)
        self.begun = True
        return answers


WINDOWS = [
    (reach, stride, left, right)
    for reach, stride, left, right in itertools.product(range(1, 6), range(1, 5), range(4), range(4))
    if Window(kind="filter", axis=1, reach=reach, stride=stride, left=left, right=right).lag >= 0
]


def test_windows_of_many_kinds_are_among_them():
    assert len(WINDOWS) > 150
    assert (3, 2, 1, 1) in WINDOWS  # the convolution that halves
    assert (3, 1, 2, 0) in WINDOWS  # the causal one


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_runs_one_after_the_other_give_what_one_run_gives(steps):
    for reach, stride, left, right in WINDOWS:
        window = Window(kind="filter", axis=1, reach=reach, stride=stride, left=left, right=right)
        assert reach - stride <= window.buffer <= reach - 1
        for tail in range(2 * stride):
            total = window.lag + (2 * steps + 1) * stride + tail
            frames = np.random.default_rng(total).standard_normal(total)
            stream, answers = Kept(window), []
            cuts = np.cumsum([window.lag + stride * steps, stride * (steps + 1)])
            for number, chunk in enumerate(np.split(frames, cuts)):
                given = stream.run(chunk, ending=number == 2)
                assert number == 2 or len(given) == steps + number  # no more and no fewer than the stride says
                answers += given
            np.testing.assert_allclose(answers, whole(frames, reach, stride, left, right), rtol=1e-12)


@pytest.mark.parametrize(("start", "step"), [(0, 2), (1, 2), (2, 2), (3, 2), (5, 3), (4, 1)])
def test_picked_frames_are_counted(start, step):
    window = Window(kind="pick", axis=1, stride=step, left=-start)
    frames = np.arange(50)
    for steps, tail in itertools.product((1, 3), range(step)):
        cuts = np.cumsum([window.lag + step * steps, step * 2])
        given = []
        for number, chunk in enumerate(np.split(frames[: cuts[-1] + tail], cuts)):
            picked = chunk[start % step if number else start :: step]
            assert len(picked) == window.count(len(chunk), begun=number > 0, ending=number == 2)
            given += picked.tolist()
        assert given == frames[: cuts[-1] + tail][start::step].tolist()


def test_frames_that_do_not_fill_a_stack_cannot_be_run():
    window = Window(kind="stack", axis=1, reach=3, stride=3)
    assert [window.count(n, begun=True, ending=False) for n in (0, 3, 6)] == [0, 1, 2]
    assert window.count(4, begun=True, ending=True) is None
    assert (window.buffer, window.lag) == (0, 0)


def test_a_delay_gives_everything_in_the_end():
    window = Window(kind="delay", axis=1, reach=3, right=2)
    assert (window.buffer, window.lag) == (2, 2)
    assert window.count(5, begun=False, ending=False) == 3
    assert window.count(4, begun=True, ending=False) == 4
    assert window.count(0, begun=True, ending=True) == 2
    assert window.count(1, begun=False, ending=True) == 1
