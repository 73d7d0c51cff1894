"""Sines keep their shape at another rate, what cannot be kept is gone, and nothing moves in time."""

import numpy as np
import pytest

from rnnx.runtime.tasks.resample import resample

RATES = [(44100, 8000), (48000, 16000), (22050, 8000), (8000, 16000), (16000, 11025)]


def sine(hertz, rate):
    return np.sin(2 * np.pi * hertz * np.arange((rate + 1) // 2) / rate + 0.3).astype(np.float32)


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_what_is_below_half_the_lower_rate_is_kept(old, new, share):
    hertz = share * min(old, new) / 2
    found = resample(sine(hertz, old), old, new)
    expected = sine(hertz, new)
    assert len(found) == len(expected)
    inner = slice(new // 20, -new // 20)
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=3e-4)


@pytest.mark.parametrize(("old", "new"), [one for one in RATES if one[1] < one[0]])
@pytest.mark.parametrize("share", [1.1, 1.3])
def test_what_is_above_is_gone(old, new, share):
    found = resample(sine(share * new / 2, old), old, new)
    assert np.abs(found[new // 20 : -new // 20]).max() < 10 ** (-80 / 20)


@pytest.mark.parametrize(("old", "new"), RATES)
def test_a_click_stays_where_it_is(old, new):
    click = np.zeros(old // 4, np.float32)
    click[old // 10] = 1
    assert abs(int(np.abs(resample(click, old, new)).argmax()) - new / 10) <= 0.5


def test_a_constant_stays_one():
    found = resample(np.ones(4000, np.float32), 44100, 8000)
    np.testing.assert_allclose(found[60:-60], 1, rtol=0, atol=1e-6)


def test_the_same_rate_changes_nothing():
    values = sine(440, 8000)
    found = resample(values, 8000, 8000)
    np.testing.assert_array_equal(found, values)
    assert found is not values


@pytest.mark.parametrize("count", [1, 2, 3, 11, 40000])
def test_any_number_of_samples(count):
    assert len(resample(np.ones(count, np.float32), 44100, 8000)) == -(-count * 8000 // 44100)


def test_long_sounds_go_block_by_block_and_give_the_same():
    values = np.random.default_rng(0).standard_normal(120000).astype(np.float32)
    whole = resample(values, 16000, 8000)
    np.testing.assert_allclose(whole[30000:40000], resample(values[58000:84000], 16000, 8000)[1000:11000], atol=1e-6)
