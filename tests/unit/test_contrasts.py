"""Differences of two levels of a stratum: Welch's interval, sums by hand, simulated coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sightline import contrasts, intervals, statistics, tables
from sightline.cells import Cells
from sightline.intervals import Options

OPTIONS = Options(resamples=2000)


def scores(values: np.ndarray, subjects=None, **changes) -> pd.DataFrame:
    """Rows of one map: `values` (images, seeds), NaN for a score that is not there."""
    images, seeds = values.shape
    subjects = range(images) if subjects is None else subjects
    rows = [
        {"dataset": "d", "model": "m", "seed": seed, "condition": "clean", "method": "gradcam",
         "reading": "signed", "image": f"i{image:04d}", "subject": f"s{subject:04d}", "reference": "lesion",
         "reader": "", "metric": "mass_inside", "center_bias": "", "value": values[image, seed],
         "status": "undefined" if np.isnan(values[image, seed]) else "ok", "reason": None}
        for image, subject in zip(range(images), subjects)
        for seed in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def levels(wrong: np.ndarray, model: str = "m") -> pd.DataFrame:
    """Stratum prediction of each image under each seed; `wrong` (images, seeds)."""
    rows = [
        {"dataset": "d", "image": f"i{image:04d}", "stratum": "prediction",
         "value": "wrong" if wrong[image, seed] else "correct", "model": model, "seed": seed}
        for image in range(wrong.shape[0])
        for seed in range(wrong.shape[1])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def only(found: pd.DataFrame) -> pd.Series:
    assert len(found) == 1
    return tables.conform("contrasts", found, "test").to_pandas().iloc[0]


@pytest.mark.parametrize(("right", "wrong"), [(60, 40), (150, 12)])
def test_one_seed_and_other_subjects_give_welchs_interval(right, wrong):
    random = np.random.default_rng(3)
    values = np.concatenate([random.normal(1, 1, right), random.normal(0.2, 2, wrong)])
    is_wrong = np.arange(right + wrong) >= right
    theirs = stats.ttest_ind(values[:right], values[right:], equal_var=False).confidence_interval(0.95)
    for method in ("random_effects", "crossed_bootstrap"):
        found = contrasts.contrast(
            scores(values[:, None]), levels(is_wrong[:, None]), options=Options(method, resamples=4000)
        )
        row = only(found)
        assert (row["first"], row["second"]) == ("correct", "wrong")
        assert row["difference"] == pytest.approx(values[:right].mean() - values[right:].mean(), abs=1e-12)
        width = theirs.high - theirs.low
        assert row["high"] - row["low"] == pytest.approx(width, rel=0.12)  # drawn
        assert abs((row["high"] + row["low"]) / 2 - row["difference"]) < 0.1 * width
    assert (row["images_first"], row["images_second"], row["subjects"], row["seeds"]) == (
        right, wrong, right + wrong, 1
    )  # fmt: skip


def test_the_difference_is_the_mean_over_seeds_of_the_levels_means():
    random = np.random.default_rng(1)
    values, wrong = random.normal(size=(50, 3)), random.random((50, 3)) < 0.3
    subjects = random.integers(0, 20, 50)
    row = only(contrasts.contrast(scores(values, subjects), levels(wrong), options=OPTIONS))
    expected = np.mean([values[~wrong[:, s], s].mean() - values[wrong[:, s], s].mean() for s in range(3)])
    assert row["difference"] == pytest.approx(expected, abs=1e-12)
    assert row["seeds"] == 3 and row["subjects"] == len(set(subjects))
    assert (
        row["images_first"] == (~wrong).any(axis=1).sum() and row["images_second"] == wrong.any(axis=1).sum()
    )
    summary = statistics.summarise_strata(scores(values, subjects), levels(wrong), interval=OPTIONS)
    means = summary.set_index("level")["mean"]
    assert row["difference"] == pytest.approx(means["correct"] - means["wrong"], abs=1e-12)


@pytest.mark.parametrize("method", ["crossed_bootstrap", "random_effects"])
def test_what_a_seed_adds_to_both_levels_cancels(method):
    random = np.random.default_rng(2)
    values, wrong = random.normal(size=(60, 4)), random.random((60, 4)) < 0.4
    shifted = values + np.array([0.0, 50.0, -80.0, 10.0])
    options = Options(method, resamples=1000)
    plain, moved = (
        only(contrasts.contrast(scores(one), levels(wrong), options=options)) for one in (values, shifted)
    )
    for name in ("difference", "low", "high"):
        assert moved[name] == pytest.approx(plain[name], abs=1e-9)


@pytest.mark.parametrize("method", intervals.METHODS)
def test_every_way_of_making_intervals_gives_the_difference(method):
    random = np.random.default_rng(8)
    values, wrong = random.normal(size=(40, 3)), random.random((40, 3)) < 0.4
    found = only(contrasts.contrast(scores(values), levels(wrong), options=Options(method, resamples=500)))
    expected = np.mean([values[~wrong[:, s], s].mean() - values[wrong[:, s], s].mean() for s in range(3)])
    assert found["difference"] == pytest.approx(expected, abs=1e-12)
    assert found["low"] < found["difference"] < found["high"]
    assert ("bootstrap" in found["interval"]) == (method not in ("random_effects", "t_over_seeds"))


def test_subjects_that_hold_both_levels_are_not_taken_for_two():
    """Each subject has a right and a wrong image with one common effect: the difference does not vary."""
    random = np.random.default_rng(5)
    effect = np.repeat(random.normal(0, 5, 40), 2)
    wrong = np.tile([False, True], 40)[:, None]
    values = (effect - wrong[:, 0] + 0.01 * random.normal(size=80))[:, None]
    row = only(
        contrasts.contrast(scores(values, np.repeat(np.arange(40), 2)), levels(wrong), options=OPTIONS)
    )
    assert row["difference"] == pytest.approx(1, abs=0.01) and row["high"] - row["low"] < 0.02
    apart = only(contrasts.contrast(scores(values), levels(wrong), options=OPTIONS))
    assert apart["high"] - apart["low"] > 3


def test_seeds_and_groups_that_hold_too_little_are_left_out():
    random = np.random.default_rng(6)
    values, wrong = random.normal(size=(30, 3)), np.zeros((30, 3), dtype=bool)
    wrong[:4, 0] = wrong[:5, 1] = wrong[:1, 2] = True  # one subject alone is wrong under the last seed
    row = only(contrasts.contrast(scores(values), levels(wrong), options=OPTIONS))
    assert row["seeds"] == 2 and np.isfinite([row["low"], row["high"]]).all()
    wrong[1:] = False
    row = only(contrasts.contrast(scores(values), levels(wrong), options=OPTIONS))
    assert row["seeds"] == 0 and np.isnan(row["difference"]) and row["interval"].startswith("no interval")
    why = "no seed has 2 subjects of each level (at most 29 of 'correct', 1 of 'wrong')"
    assert (row["status"], row["reason"]) == ("undefined", why)
    none = contrasts.contrast(scores(values), levels(wrong, model="other"), options=OPTIONS)  # a baseline's
    assert tables.conform("contrasts", none, "test").num_rows == 0
    three = levels(wrong).assign(value=lambda rows: rows["value"] + rows["image"].str[-1])
    assert contrasts.contrast(scores(values), three, options=OPTIONS).empty


def test_a_reference_that_one_level_alone_has_gives_a_reason_and_no_number():
    """As of a region of lesions, which normal images have not: for maps and for baselines."""
    random = np.random.default_rng(9)
    values, normal = random.normal(size=(20, 1)), (np.arange(20) < 8)[:, None]
    marked = scores(np.where(normal, np.nan, values))
    rows = pd.concat(
        [scores(values, reference="gaze"), marked, marked.assign(model="", method="center_bias")]
    )
    strata = levels(normal).assign(model=None, seed=None)
    found = contrasts.contrast(rows, strata, options=OPTIONS)
    assert tables.conform("contrasts", found, "test").num_rows == 3
    told = found.set_index(["reference", "method"])
    assert told.loc[("gaze", "gradcam"), ["status", "reason"]].tolist() == ["ok", None]
    for method in ("gradcam", "center_bias"):
        row = told.loc[("lesion", method)]
        assert row["status"] == "undefined" and np.isnan(row["difference"])
        assert row["reason"].endswith("(at most 12 of 'correct', 0 of 'wrong')")


def test_scores_that_are_not_there_do_not_count():
    random = np.random.default_rng(7)
    values, wrong = random.normal(size=(40, 2)), random.random((40, 2)) < 0.4
    lost = values.copy()
    lost[3, :] = lost[17, 1] = np.nan
    row = only(contrasts.contrast(scores(lost), levels(wrong), options=OPTIONS))
    there = ~np.isnan(lost)
    expected = np.mean(
        [
            lost[~wrong[:, s] & there[:, s], s].mean() - lost[wrong[:, s] & there[:, s], s].mean()
            for s in range(2)
        ]
    )
    assert row["difference"] == pytest.approx(expected, abs=1e-12)


def simulated(n: int, seeds: int, share: float, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values and who is wrong (n, seeds): hard subjects are wrong more often, and score lower."""
    hard, own = draw.normal(size=(2, n))
    wrong = 0.8 * hard[:, None] + 0.6 * draw.normal(size=(n, seeds)) > stats.norm.ppf(1 - share)
    values = -0.5 * hard[:, None] + np.sqrt(0.75) * own[:, None] + 0.3 * draw.normal(size=(1, seeds))
    return values + 0.6 * draw.normal(size=(n, seeds)), wrong


@pytest.mark.parametrize(("n", "seeds", "share"), [(100, 3, 0.2), (60, 5, 0.3)])
def test_coverage_where_an_image_is_right_under_some_seeds_only(n, seeds, share):
    """Of the difference, and of the level's own mean, whose table lacks cells."""
    # of normal variables: E[hard | wrong] = 0.8 density / share; the scores' mean given it is -0.5 of that
    tail = 0.8 * stats.norm.pdf(stats.norm.ppf(1 - share))
    truth = {"difference": 0.5 * (tail / share + tail / (1 - share)), "wrong": -0.5 * tail / share}
    inside, replicates = {"difference": 0, "wrong": 0}, 250
    for replicate in range(replicates):
        draw = np.random.default_rng(replicate)
        values, wrong = simulated(n, seeds, share, draw)
        options = Options(resamples=300)
        both = np.concatenate([~wrong, wrong], axis=1).astype(float)
        table = Cells((np.tile(values, 2) * both)[:, :, None], both[:, :, None], (seeds, seeds))
        found = {"difference": intervals.crossed_bootstrap(contrasts.difference(table), options, draw)}
        there = wrong.any(axis=1)
        alone = Cells((values * wrong)[there][:, :, None], wrong[there].astype(float)[:, :, None])
        found["wrong"] = intervals.crossed_bootstrap(alone, options, draw)
        for name, one in found.items():
            inside[name] += int(one.low[0] <= truth[name] <= one.high[0])
    for name, count in inside.items():
        assert 0.91 <= count / replicates <= 0.985, (name, count / replicates)
