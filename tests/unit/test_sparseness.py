"""How concentrated a map is: closed forms, and the definitions of Quantus and SciPy."""

import numpy as np
import pytest
from scipy.stats import entropy

from sightline.metrics.sparseness import complexity, effective_area, gini, mass_in_top_tenth

ALL = (gini, complexity, effective_area, mass_in_top_tenth)


def test_a_constant_map_and_one_pixel():
    flat, point = np.full((4, 5), -0.3), np.zeros((4, 5))
    point[1, 2] = -7.0
    assert [score(flat) for score in ALL] == pytest.approx([0.0, np.log(20), 1.0, 0.1], abs=1e-12)
    assert [score(point) for score in ALL] == pytest.approx([0.95, 0.0, 0.05, 1.0], abs=1e-12)


def test_a_share_of_equal_pixels():
    values = np.zeros(30)
    values[:12] = 2.0  # Gini: 1 - 12 / 30
    expected = [0.6, np.log(12), 0.4, 3 / 12]
    assert [score(values) for score in ALL] == pytest.approx(expected, abs=1e-12)
    assert mass_in_top_tenth(np.arange(5.0)) == pytest.approx(0.5 * 4 / 10, abs=1e-12)  # half of one pixel


@pytest.mark.parametrize("shape", [(7, 9), (3, 4, 5)])
def test_against_other_definitions(shape):
    values = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    magnitude = np.sort(np.abs(values.astype(float)).ravel())
    # Hurley and Rickard 2009: 1 - 2 sum_k c_(k) / |c|_1 (N - k + 1/2) / N
    weights = (magnitude.size - np.arange(1, magnitude.size + 1) + 0.5) / magnitude.size
    assert gini(values) == pytest.approx(1 - 2 * (magnitude / magnitude.sum()) @ weights, abs=1e-12)
    differences = np.abs(magnitude[:, None] - magnitude).mean()
    assert gini(values) == pytest.approx(differences / (2 * magnitude.mean()), abs=1e-12)
    assert complexity(values) == pytest.approx(entropy(magnitude), abs=1e-12)
    lorenz = np.concatenate([[0.0], np.cumsum(magnitude)]) / magnitude.sum()
    below = np.interp(0.9, np.linspace(0, 1, magnitude.size + 1), lorenz)
    assert mass_in_top_tenth(values) == pytest.approx(1 - below, abs=1e-12)


def test_as_quantus_up_to_what_it_adds():
    """Its Sparseness adds 1e-7 to each pixel of the map divided by its largest."""
    values = np.abs(np.random.default_rng(6).normal(size=200)) + 0.01
    theirs = np.sort(values / values.max() + 1e-7)
    theirs = (2 * np.arange(1, 201) - 201) @ theirs / (200 * theirs.sum())
    assert gini(values) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("score", ALL, ids=lambda score: score.__name__)
def test_scale_and_sign_do_not_matter_and_nothing_is_undefined(score):
    values = np.random.default_rng(7).normal(size=(6, 6))
    assert score(1e-40 * values) == pytest.approx(score(values), abs=1e-6) == score(-values)
    assert np.isnan(score(np.zeros((6, 6))))
    with pytest.raises(ValueError, match="not finite"):
        score(np.where(values > 1, np.inf, values))
