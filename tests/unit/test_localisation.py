"""Mass inside a region, the pointing game and overlaps with a cut map: closed forms and scikit-image."""

import numpy as np
import pytest
from skimage.filters import threshold_otsu
from sklearn.metrics import jaccard_score, precision_score, recall_score

from sightline.metrics.localisation import (
    highest,
    iou_max,
    iou_otsu,
    iou_quantile,
    mass_inside,
    mass_over_area,
    pixel_precision,
    pixel_recall,
    pointing_game,
)


def region(shape=(10, 20)):
    mask = np.zeros(shape, dtype=bool)
    mask[2:6, 5:15] = True  # 40 of 200 pixels
    return mask


def test_a_constant_map_scores_the_area():
    flat = np.full((10, 20), 0.3)
    assert mass_inside(flat, region()) == pytest.approx(0.2, abs=1e-7)
    assert mass_over_area(flat, region()) == pytest.approx(1.0, abs=1e-6)
    assert pointing_game(flat, region()) == pytest.approx(0.2, abs=1e-12)


@pytest.mark.parametrize("inside, expected", [(4.0, 0.5), (0.0, 0.0), (12.0, 0.75)])
def test_mass_inside_in_closed_form(inside, expected):
    values = np.where(region(), inside, 1.0)  # 160 pixels of 1 outside
    assert mass_inside(values, region()) == pytest.approx(expected, abs=1e-12)
    assert mass_over_area(values, region()) == pytest.approx(expected / 0.2, abs=1e-12)


def test_negative_values_are_no_mass():
    values = np.where(region(), 1.0, -5.0)
    values[0, 0] = 10.0
    assert mass_inside(values, region()) == pytest.approx(0.8, abs=1e-12)


def test_pointing_game_and_its_ties():
    values = np.zeros((10, 20))
    values[3, 7] = 2.0
    assert pointing_game(values, region()) == 1.0
    values[0, 0] = values[9, 9] = values[9, 10] = 2.0
    assert pointing_game(values, region()) == 0.25
    values[3, 7] = 1.9
    assert pointing_game(values, region()) == 0.0
    assert pointing_game(values - 5, region()) == 0.0  # negative everywhere, and still a maximum


@pytest.mark.parametrize("values", [np.zeros((10, 20)), -np.ones((10, 20))])
def test_no_positive_mass_is_undefined(values):
    assert np.isnan(mass_inside(values, region())) and np.isnan(mass_over_area(values, region()))
    assert np.isnan(mass_over_area(np.ones((10, 20)), np.zeros((10, 20), bool)))


def test_any_dimension_and_its_errors():
    volume = np.zeros((4, 5, 6))
    volume[1, 2, 3] = 3.0
    volume[0, 0, 0] = 1.0
    mask = volume > 2
    assert mass_inside(volume, mask) == 0.75
    assert mass_over_area(volume, mask) == pytest.approx(0.75 * 120, abs=1e-9)
    with pytest.raises(ValueError, match="shapes differ"):
        mass_inside(volume, mask[0])
    with pytest.raises(ValueError, match="not finite"):
        pointing_game(np.where(mask, np.nan, volume), mask)


def noise(seed, shape=(10, 20)):
    return np.random.default_rng(seed).normal(size=shape)


AT_OTSU = {iou_otsu: jaccard_score, pixel_precision: precision_score, pixel_recall: recall_score}


@pytest.mark.parametrize("metric", AT_OTSU, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("shape", [(10, 20), (6, 7, 3)])
def test_overlaps_at_otsu_are_those_of_scikit(metric, shape):
    mask = noise(9, shape) > 0.4
    for seed in range(5):
        values = noise(seed, shape).astype(np.float32) + 2 * mask
        cut = values > threshold_otsu(values.ravel())
        assert metric(values, mask) == pytest.approx(AT_OTSU[metric](mask.ravel(), cut.ravel()), abs=1e-12)
        assert metric(1e-30 * values - 3e-30, mask) == metric(values, mask)  # neither scale nor sign matters


def test_otsu_survives_a_range_too_small_for_its_bins():
    values = np.full((10, 20), 1.0, dtype=np.float32)
    values[2:6, 5:15] = np.nextafter(np.float32(1), np.float32(2))
    assert iou_otsu(values, region()) == pixel_precision(values, region()) == 1.0


def test_two_levels_in_closed_form():
    values = np.zeros((10, 20))
    values[2:6, 10:20] = 1.0  # 40 pixels, half of them in the region
    assert iou_otsu(values, region()) == iou_quantile(values, region()) == pytest.approx(20 / 60)
    assert pixel_precision(values, region()) == pixel_recall(values, region()) == 0.5
    values[:] = 0.0
    values[3, 7] = 1.0
    assert pixel_precision(values, region()) == 1.0 and pixel_recall(values, region()) == 1 / 40
    # one pixel for certain, and 39 places for 199 tied ones, 39 of which lie in the region
    both = 1 + 39 * 39 / 199
    assert iou_quantile(values, region()) == pytest.approx(both / (80 - both), abs=1e-12)


def test_equal_area_without_ties_and_by_chance():
    values = noise(3)
    cut = np.zeros(200, dtype=bool)
    cut[np.argsort(-values.ravel())[:40]] = True
    expected = jaccard_score(region().ravel(), cut)
    assert iou_quantile(values, region()) == pytest.approx(expected, abs=1e-12)
    assert iou_quantile(values + 100.0 * region(), region()) == 1.0
    assert iou_quantile(np.ones((10, 20)), region()) == pytest.approx(0.2 / 1.8, abs=1e-12)  # a / (2 - a)


def test_the_highest_pixels_and_their_ties():
    values = np.array([5.0, 1.0, 3.0, 3.0, 3.0, 0.0])
    assert highest(values, 3).tolist() == pytest.approx([1, 0, 2 / 3, 2 / 3, 2 / 3, 0])
    assert highest(values, 1.5).tolist() == pytest.approx([1, 0, 1 / 6, 1 / 6, 1 / 6, 0])
    assert highest(values, 0.5).tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0])
    assert highest(values, 6).tolist() == [1] * 6


def test_the_best_threshold_of_all():
    values = np.round(noise(4) + region(), 1)  # ties
    by_hand = max(jaccard_score(region().ravel(), (values >= t).ravel()) for t in np.unique(values))
    assert iou_max(values, region()) == pytest.approx(by_hand, abs=1e-12)
    assert iou_max(values, region()) >= iou_otsu(values, region())
    assert iou_max(~region(), region()) == pytest.approx(0.2) == iou_max(np.ones((10, 20)), region())


def test_overlaps_that_there_are_not():
    for metric in AT_OTSU:
        assert np.isnan(metric(np.full((10, 20), 0.3), region()))
    for metric in (*AT_OTSU, iou_quantile, iou_max):
        assert np.isnan(metric(noise(1), np.zeros((10, 20), dtype=bool)))
        with pytest.raises(ValueError, match="shapes differ"):
            metric(noise(1), region().T)
