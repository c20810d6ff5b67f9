"""IoU at a threshold that other subjects' images chose: by hand, and that no image chooses its own."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from sightline.metrics.thresholds import THRESHOLDS, across, ious, tuned_threshold


def pair(seed, level=0.5, shape=(9, 12)):
    """A map that is `level` inside a region and lower outside, 1 at one pixel, and the region."""
    draws = np.random.default_rng(seed)
    region = np.zeros(shape, dtype=bool)
    region[2:6, 3:9] = True
    values = np.where(region, level, draws.uniform(0, level - 0.06, shape))
    values[0, 0], values[3, 4] = 0.0, 1.0
    return values, region


def test_every_threshold_by_hand():
    values, region = np.random.default_rng(1).normal(size=(2, 8, 9))
    region = region > 0.3
    unit = (values.astype(np.float32) - np.float32(values.min())) / np.float32(np.ptp(values))
    expected = [jaccard_score(region.ravel(), (unit > t).ravel()) for t in THRESHOLDS]
    assert ious(values, region) == pytest.approx(expected, abs=1e-12)
    assert ious(5.0 * values - 3.0, region) == pytest.approx(expected, abs=1e-12)
    assert {0.2, 0.3, 0.4, 0.5, 0.6, 0.7} <= {round(t, 9) for t in THRESHOLDS}


def test_a_pixel_at_the_threshold_is_not_above_it():
    values, region = np.array([[0.0, 0.5, 1.0]]), np.array([[False, True, True]])
    found = dict(zip(THRESHOLDS, ious(values, region)))
    assert found[0.45] == 1.0 and found[0.5] == 0.5


def test_the_tuned_threshold_separates_the_planted_levels():
    pairs = [pair(seed) for seed in range(4)]
    assert tuned_threshold(*zip(*pairs)) == 0.45  # the highest level outside is 0.44, inside it is 0.5
    flat = (np.ones((9, 12)), pairs[0][1])
    assert tuned_threshold(*zip(*pairs, flat)) == 0.45
    with pytest.raises(ValueError, match="every map is constant"):
        tuned_threshold(*zip(flat))
    with pytest.raises(ValueError, match="shapes differ"):
        ious(flat[0], flat[1].T)


def test_no_subject_chooses_its_own_threshold():
    """Three subjects of level 0.5 and one of 0.9: each is cut where the others' maps are best cut."""
    subjects = ["a", "a", "b", "c", "d"]
    pairs = [pair(seed, 0.9 if subject == "d" else 0.5) for seed, subject in enumerate(subjects)]
    rows = np.array([ious(*each) for each in pairs])
    found = across(rows, subjects)
    for at, subject in enumerate(subjects):
        others = [each for each, name in zip(pairs, subjects) if name != subject]
        best = THRESHOLDS.index(tuned_threshold(*zip(*others)))
        assert found[at] == rows[at, best]
    assert found[:4] == pytest.approx(1.0) and found[4] < 0.7 < rows[4].max() == 1.0


def test_one_subject_has_nobody_to_learn_from():
    assert np.isnan(across(np.ones((2, len(THRESHOLDS))), ["a", "a"])).all()


def test_maps_and_regions_without_overlap():
    values, region = pair(1)
    assert np.isnan(ious(np.ones_like(values), region)).all()
    assert np.isnan(ious(values, np.zeros_like(region))).all()
