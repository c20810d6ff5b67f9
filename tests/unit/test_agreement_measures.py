"""Likeness of two maps: scikit-image, SciPy and NumPy as oracles, closed forms, what there is not."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from sightline.agreement.measures import MEASURES, measured, pearson, spearman, ssim, top_overlap

ALL = (pearson, spearman, ssim, top_overlap)
SHAPES = [(20, 14), (9, 8, 11), (5, 12), (4, 4)]


def maps(shape, n=4, seed=0):
    """Related maps of very different scales, the last one all positive."""
    draws = np.random.default_rng(seed)
    common = draws.normal(size=shape)
    found = [10.0**at * (common + at * draws.normal(size=shape)) for at in range(n)]
    return np.stack([*found[:-1], np.abs(found[-1])])


def column(values, name):
    return values[:, list(MEASURES).index(name)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pairs_have_the_values_of_the_libraries(shape):
    given = maps(shape)
    pairs = [(0, 1), (2, 0), (1, 3), (3, 2)]
    found = measured(given, pairs)
    assert found.shape == (len(pairs), len(MEASURES))
    for suffix, signed in (("", given), ("_abs", np.abs(given))):
        scaled = signed / np.abs(signed).max(axis=tuple(range(1, signed.ndim)), keepdims=True)
        side = {20: 7, 9: 7, 5: 5, 4: 3}[shape[0]]
        for row, (a, b) in zip(range(len(pairs)), pairs):
            assert column(found, f"pearson{suffix}")[row] == pytest.approx(
                np.corrcoef(signed[a].ravel(), signed[b].ravel())[0, 1], abs=1e-12
            )
            assert column(found, f"spearman{suffix}")[row] == pytest.approx(
                spearmanr(signed[a].ravel(), signed[b].ravel()).statistic, abs=1e-12
            )
            both = np.stack([scaled[a], scaled[b]])
            oracle = structural_similarity(*both, win_size=side, data_range=np.ptp(both))
            assert column(found, f"ssim{suffix}")[row] == pytest.approx(oracle, abs=1e-10)


def test_the_top_tenth_by_hand():
    a, b = np.random.default_rng(1).normal(size=(2, 10, 10))
    b[0] = a[0] = 9 + np.arange(10.0)  # the same ten
    assert top_overlap(a, b) == 1.0
    b[0, :4], b[5, :4] = -9.0, 30.0  # six of ten in common
    assert top_overlap(a, b) == pytest.approx(6 / 14, abs=1e-12)
    flat = np.zeros((10, 10))
    flat[0, :2] = 1.0  # two of ten for certain, 98 tied for eight places
    rest = 8 / 98
    both = 2 + 8 * rest
    assert top_overlap(flat, a) == pytest.approx(both / (20 - both), abs=1e-12)


def test_a_map_and_itself_its_negative_and_ties():
    values = np.round(np.random.default_rng(2).normal(size=(12, 9)), 1)  # ties
    for score in ALL:
        assert score(values, 3.0 * values) == pytest.approx(1.0, abs=1e-12)
    assert pearson(values, -values) == spearman(values, -values) == pytest.approx(-1.0, abs=1e-12)
    assert ssim(values, -values) < 0.2  # means and structure both turn: their product does not
    other = np.random.default_rng(3).integers(0, 4, size=(12, 9)).astype(float)
    expected = spearmanr(values.ravel(), other.ravel()).statistic
    assert spearman(values, other) == pytest.approx(expected, abs=1e-12)
    for score in ALL:
        assert score(values, other) == pytest.approx(score(other, values), abs=1e-12)  # symmetric


def test_what_a_monotone_change_leaves():
    values = np.random.default_rng(4).normal(size=(15, 15))
    assert spearman(values, np.exp(values)) == pytest.approx(1.0, abs=1e-9)
    assert top_overlap(values, np.exp(values)) == 1.0
    assert pearson(values, np.exp(values)) < 0.95


def test_independent_maps():
    draws = np.random.default_rng(5).normal(size=(2, 150, 150))
    assert pearson(*draws) == pytest.approx(0, abs=0.03) and spearman(*draws) == pytest.approx(0, abs=0.03)
    assert top_overlap(*draws) == pytest.approx(0.01 / 0.19, abs=0.01)


def test_faint_and_huge_maps_are_maps():
    values = maps((10, 10))[:2]
    expected = measured(values, [(0, 1)])
    tiny = values * np.array([1e-200, 1e150]).reshape(2, 1, 1)
    assert measured(tiny, [(0, 1)]) == pytest.approx(expected, abs=1e-6)


def test_constant_maps_have_no_likeness():
    values = maps((10, 10))
    given = np.stack([values[0], np.full((10, 10), 0.3), np.zeros((10, 10)), np.sign(values[0])])
    found = measured(given, [(0, 1), (1, 2), (0, 3), (0, 0)])
    assert np.isnan(found[:2]).all()
    for name in MEASURES:  # the sign alone: a map with signs, none without
        assert np.isnan(column(found, name)[2]) == name.endswith("_abs")
    assert found[3] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("shape", [(2, 30), (1, 5), (3, 2, 3)], ids=str)
def test_grids_too_small_for_a_window(shape):
    found = measured(maps(shape), [(0, 1)])
    assert np.isnan(column(found, "ssim")).all() and np.isnan(column(found, "ssim_abs")).all()
    assert np.isfinite(column(found, "pearson")).all() and np.isfinite(column(found, "top_overlap")).all()


def test_unequal_grids_and_broken_maps_stop():
    with pytest.raises(ValueError, match="shapes differ"):
        pearson(np.eye(4), np.ones((4, 5)))
    with pytest.raises(ValueError, match="not finite"):
        ssim(np.eye(4), np.full((4, 4), np.nan))


def test_chunks_change_nothing(monkeypatch):
    given, pairs = maps((8, 9), n=5), [(a, b) for a in range(5) for b in range(a)]
    whole = measured(given, pairs)
    monkeypatch.setattr("sightline.agreement.measures.CHUNK", 3 * 72)
    assert np.array_equal(measured(given, pairs), whole)


def test_pixels_that_do_not_count_change_nothing():
    given = maps((12, 10))
    inside = np.zeros((12, 10), dtype=bool)
    inside[1:, 2:9] = True  # a rectangle: as if the maps were cut to it
    for rest in (0.0, 1e6):
        filled = np.where(inside, given, rest)
        found = measured(filled, [(0, 1), (2, 3)], inside)
        assert found == pytest.approx(measured(given[:, 1:, 2:9], [(0, 1), (2, 3)]), abs=1e-9)
    assert not np.isnan(found).any()
    inside[:, 4] = False  # no window of seven lies within what is left; of single pixels all is known
    found = measured(given, [(0, 1)], inside)
    assert np.isnan(column(found, "ssim")) and np.isnan(column(found, "ssim_abs"))
    known = spearmanr(given[0][inside], given[1][inside]).statistic
    assert column(found, "spearman") == pytest.approx(known, abs=1e-12)
