"""Drawing by the numbers of Threefry: the shares are the softmax's."""

import numpy as np
import pytest

from rnnx.errors import SessionError
from rnnx.runtime.tasks.generating import draw

LOGITS = np.log(np.array([0.5, 0.2, 0.15, 0.1, 0.05]))


def shares(count=600, **options):
    given = {"temperature": 1.0, "top_k": None, "seed": 7, **options}
    forbidden = given.pop("forbidden", ())
    found = [draw(LOGITS, forbidden, count=number, **given) for number in range(count)]
    return np.bincount(found, minlength=5) / count


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.2, 0.15, 0.1, 0.05]),
        ({"top_k": 2}, [5 / 7, 2 / 7, 0, 0, 0]),
        ({"forbidden": (0,)}, [0, 0.4, 0.3, 0.2, 0.1]),
        ({"forbidden": (0,), "top_k": 1}, [0, 1, 0, 0, 0]),
        ({"temperature": 0.5}, np.array([0.25, 0.04, 0.0225, 0.01, 0.0025]) / 0.325),
        ({"temperature": 0.0}, [1, 0, 0, 0, 0]),
        ({"top_k": 99, "seed": 2**62}, [0.5, 0.2, 0.15, 0.1, 0.05]),
    ],
)
def test_shares(options, expected):
    # Four standard deviations of a share of one half.
    np.testing.assert_allclose(shares(**options), expected, atol=4 * np.sqrt(0.25 / 600))


def test_of_equal_ones_the_first_stay():
    drawn = {draw(np.zeros(5), (), temperature=1.0, top_k=2, seed=0, count=one) for one in range(50)}
    assert drawn == {0, 1}


@pytest.mark.parametrize(
    ("logits", "forbidden"), [(np.array([np.nan, 1]), ()), (np.array([np.inf, 1]), ()), (np.array([1.0]), (0,))]
)
def test_nothing_to_draw(logits, forbidden):
    with pytest.raises(SessionError, match="no finite number for any symbol"):
        draw(logits, forbidden, temperature=1.0, top_k=None, seed=0, count=0)


def test_what_may_not_be_drawn_is_not_drawn_at_zero(monkeypatch):
    monkeypatch.setattr("rnnx.runtime.tasks.generating.uniform", lambda seed, _count: np.zeros(seed.shape, np.float32))
    assert draw(LOGITS, (0, 1), temperature=1.0, top_k=None, seed=0, count=0) == 2
