"""Intervals against closed forms, scipy, the analysis of variance, and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from sightline import intervals
from sightline.cells import Cells, Statistic
from sightline.errors import ConfigError
from sightline.intervals import METHODS, Options, find

BOOTSTRAPS = ("crossed_bootstrap", "subjects", "bca")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def two_way(n: int, seeds: int, columns: int, seed_sd: float = 0.3, draw: np.random.Generator | None = None):
    draw = draw or rng(7)
    values = draw.normal(size=(n, 1, columns)) + seed_sd * draw.normal(size=(1, seeds, columns))
    return values + 0.6 * draw.normal(size=(n, seeds, columns))


def cells_of(values: np.ndarray, **more) -> Cells:
    pooled = {"sd": values.std(axis=(0, 1), ddof=1), "images": np.full(values.shape[2], len(values))}
    return Cells(values, np.ones_like(values), **{**pooled, **more})


def test_the_estimate_is_a_mean_over_seeds_of_ratios():
    sums = np.array([[[3.0], [1.0]], [[1.0], [0.0]]])
    counts = np.array([[[2.0], [1.0]], [[1.0], [0.0]]])
    assert Cells(sums, counts).estimate == pytest.approx([(4 / 3 + 1.0) / 2])
    assert Cells(sums, counts, arms=(1, 1)).estimate == pytest.approx([4 / 3 - 1.0])
    np.testing.assert_allclose(Cells(sums, counts).contributions.sum(axis=0), Cells(sums, counts).estimate)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "pooled_normal"])
def test_a_statistic_that_is_a_ratio_has_the_interval_of_cells(method):
    """The same draws; the variances come from resamples, not from the ratios' linearisation."""
    draw = rng(3)
    counts = draw.integers(1, 4, (50, 3, 2)).astype(float)
    sums = counts * two_way(50, 3, 2, draw=draw)
    cells = Cells(sums, counts)

    def values(weights):
        return np.tensordot(weights, sums, axes=1) / np.tensordot(weights, counts, axes=1)

    statistic = Statistic(values, 50, (3,), np.array([50, 50]))
    np.testing.assert_allclose(statistic.estimate, cells.estimate)
    np.testing.assert_allclose(statistic.left_out, cells.left_out)
    options = Options(method, resamples=500)
    expected, found = (find(method)(of, options, rng()) for of in (cells, statistic))
    tolerance = 0.1 * (expected.high - expected.low).max()  # a variance of 1,000 draws errs by 4.5 %
    np.testing.assert_allclose(found.low, expected.low, atol=tolerance)
    np.testing.assert_allclose(found.high, expected.high, atol=tolerance)
    assert found.made == expected.made


def test_a_statistic_that_rests_on_few_subjects_has_their_degrees_of_freedom():
    """A mean of 5 of 60 subjects has the interval of 5 subjects: Student's with 4 degrees of freedom."""
    values, few = rng(8).normal(size=60), 5
    held = np.where(np.arange(60) < few, 1.0, 0.0)

    def mean(weights):
        below = weights @ held
        return np.divide(weights @ (held * values), below, out=np.full_like(below, np.nan), where=below > 0)[
            :, None, None
        ]

    options = Options(resamples=20_000)
    found = intervals.crossed_bootstrap(Statistic(mean, 60, (1,), np.array([few])), options, rng())
    alone = intervals.crossed_bootstrap(cells_of(values[:few, None, None]), options, rng())
    np.testing.assert_allclose(found.high - found.low, alone.high - alone.low, rtol=0.25)
    wide = intervals.crossed_bootstrap(Statistic(mean, 60, (1,), np.array([60])), options, rng())
    assert (found.high - found.low) > 1.2 * (wide.high - wide.low)
    with pytest.raises(ValueError, match="fewer than two subjects"):
        Statistic(mean, 60, (1,), np.array([1]))


def test_percentiles_of_subjects_agree_with_scipy():
    values = rng(1).gamma(1.5, size=(60, 1, 3))
    found = intervals.subjects(cells_of(values), Options("subjects"), rng())
    for column in range(3):
        theirs = stats.bootstrap(
            (values[:, 0, column],), np.mean, method="percentile", n_resamples=9999, rng=3
        )
        # Monte Carlo error of a percentile: 0.027 standard errors of the mean; of two of them, 5 SD
        tolerance = 5 * np.sqrt(2) * 0.027 * theirs.standard_error
        ends = (found.low[column], found.high[column])
        np.testing.assert_allclose(ends, theirs.confidence_interval, atol=tolerance)


def test_bca_agrees_with_scipy_where_the_data_are_skewed():
    values = rng(2).lognormal(sigma=1.2, size=(40, 1, 2))
    found = intervals.bca(cells_of(values), Options("bca", resamples=20_000), rng())
    plain = intervals.subjects(cells_of(values), Options("subjects", resamples=20_000), rng())
    for column in range(2):
        theirs = stats.bootstrap((values[:, 0, column],), np.mean, method="BCa", n_resamples=20_000, rng=3)
        tolerance = 0.15 * theirs.standard_error  # the corrected upper end lies further out: larger error
        ends = (found.low[column], found.high[column])
        np.testing.assert_allclose(ends, theirs.confidence_interval, atol=tolerance)
        assert found.high[column] - plain.high[column] > 2 * tolerance


def test_random_effects_is_the_analysis_of_variance_with_satterthwaite():
    values = two_way(30, 5, 1)[:, :, 0]
    n, k = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    subject = k * rows.var(ddof=1)
    seed = n * columns.var(ddof=1)
    residual = ((values - rows[:, None] - columns + values.mean()) ** 2).sum() / ((n - 1) * (k - 1))
    assert seed > residual
    total = subject + seed - residual
    squares = subject**2 / (n - 1) + seed**2 / (k - 1) + residual**2 / ((n - 1) * (k - 1))
    half = stats.t.ppf(0.975, total**2 / squares) * np.sqrt(total / (n * k))
    found = intervals.random_effects(cells_of(values[:, :, None]), Options(), rng())
    np.testing.assert_allclose(found.mean + [[-half], [half]], [found.low, found.high], rtol=1e-10)


def test_one_seed_gives_students_t_over_subjects():
    values = rng(4).normal(size=(25, 1, 1))
    expected = stats.ttest_1samp(values.ravel(), 0.0).confidence_interval(0.95)
    found = intervals.random_effects(cells_of(values), Options(), rng())
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-10)
    crossed = intervals.crossed_bootstrap(cells_of(values), Options(resamples=40_000), rng())
    width = expected.high - expected.low
    np.testing.assert_allclose([crossed.low[0], crossed.high[0]], expected, atol=0.03 * width)
    assert "25 subjects and 1 seed" in crossed.made


def test_t_over_seeds_is_students_and_welchs():
    values = two_way(20, 7, 1)
    seeds = values.mean(axis=0).ravel()
    found = intervals.t_over_seeds(cells_of(values), Options("t_over_seeds"), rng())
    expected = stats.ttest_1samp(seeds, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-10)
    found = intervals.t_over_seeds(cells_of(values, arms=(4, 3)), Options("t_over_seeds"), rng())
    expected = stats.ttest_ind(seeds[:4], seeds[4:], equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-10)


def test_pooled_normal_is_the_published_formula_and_serves_one_arm():
    values = two_way(12, 4, 2)
    found = intervals.pooled_normal(cells_of(values), Options("pooled_normal"), rng())
    half = 1.96 * values.reshape(-1, 2).std(axis=0, ddof=1) / np.sqrt(12)
    np.testing.assert_allclose(found.high - found.mean, half, rtol=1e-12)
    with pytest.raises(ConfigError, match="pooled_normal"):
        intervals.pooled_normal(cells_of(values, arms=(2, 2)), Options("pooled_normal"), rng())


@pytest.mark.parametrize("method", ["crossed_bootstrap", "random_effects"])
def test_variance_components_enter_once(method):
    """Large n and k: the half width is 1.96 times the root of subject/n + seed/k + residual/nk."""
    n, k = 400, 60
    values = two_way(n, k, 30, seed_sd=0.4)
    found = find(method)(cells_of(values), Options(method, resamples=4000), rng())
    expected = 1.96 * np.sqrt(1.0 / n + 0.16 / k + 0.36 / (n * k))
    assert np.mean(found.high - found.low) / 2 == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("method", ["crossed_bootstrap", "random_effects"])
def test_a_large_residual_is_counted_once_and_not_as_a_seed_effect(method):
    """Plain resampling of both would count it three times: intervals 1.4 times as wide."""
    n, k = 50, 40
    draw = rng(21)
    values = draw.normal(size=(n, 1, 60)) + 6.0 * draw.normal(size=(n, k, 60))
    found = find(method)(cells_of(values), Options(method, resamples=2000), rng())
    half = 1.96 * np.sqrt(1.0 / n + 36.0 / (n * k))
    assert np.mean(found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_independent_arms_add_their_variances_and_share_their_subjects():
    n = 300
    draw = rng(11)
    subject = draw.normal(size=(n, 1, 20))  # the same for both arms: it cancels
    seeds = 0.5 * draw.normal(size=(1, 80, 20))
    values = subject + seeds + 0.5 * draw.normal(size=(n, 80, 20))
    for method in ("crossed_bootstrap", "random_effects"):
        found = find(method)(cells_of(values, arms=(40, 40)), Options(method, resamples=3000), rng())
        expected = 1.96 * np.sqrt(2 * 0.25 / 40 + 2 * 0.25 / (40 * n))
        assert np.mean(found.high - found.low) / 2 == pytest.approx(expected, rel=0.06)
        assert "40 and 40 seeds" in found.made


@pytest.mark.parametrize("method", METHODS)
def test_columns_do_not_depend_on_each_other_and_draws_repeat(method):
    values = two_way(35, 4, 6)
    options = Options(method, resamples=700)
    found = find(method)(cells_of(values), options, rng(5))
    again = find(method)(cells_of(values), options, rng(5))
    turned = find(method)(cells_of(values[:, :, ::-1]), options, rng(5))
    alone = find(method)(cells_of(values[:, :, 2:3]), options, rng(5))
    assert found.low.tobytes() == again.low.tobytes() and found.high.tobytes() == again.high.tobytes()
    np.testing.assert_allclose(turned.low[::-1], found.low, rtol=1e-11)
    np.testing.assert_allclose(alone.high, found.high[2:3], rtol=1e-11)


@pytest.mark.parametrize("method", BOOTSTRAPS)
def test_subjects_that_lack_seeds_or_have_several_images_are_weighed_by_their_images(method):
    """A subject with three equal images is what three images of one subject are, not three subjects."""
    draw = rng(8)
    counts = draw.integers(0, 4, size=(80, 3, 2)).astype(float)
    counts[:, 0] = np.maximum(counts[:, 0], 1)
    truth = draw.normal(size=(80, 1, 2)) + 5.0
    cells = Cells(counts * truth, counts)
    found = find(method)(cells, Options(method, resamples=2000), rng())
    expected = np.mean((counts * truth).sum(axis=0) / counts.sum(axis=0), axis=0)
    np.testing.assert_allclose(found.mean, expected)
    # the linearised ratio's standard error, seeds as they are
    influence = (
        counts * (truth - (counts * truth).sum(axis=0) / counts.sum(axis=0)) / counts.sum(axis=0)
    ).mean(axis=1)
    half = 1.96 * np.sqrt((influence**2).sum(axis=0))
    if method != "crossed_bootstrap":
        np.testing.assert_allclose((found.high - found.low) / 2, half, rtol=0.15)
    assert ((found.low < found.mean) & (found.mean < found.high)).all()


@pytest.mark.parametrize("method", METHODS)
def test_constant_scores_have_an_interval_of_no_width(method):
    found = find(method)(cells_of(np.full((10, 3, 1), 0.25)), Options(method, resamples=200), rng())
    np.testing.assert_allclose([found.low, found.mean, found.high], 0.25, atol=1e-12)


def test_what_has_no_interval_says_why():
    one_subject, one_seed = cells_of(np.ones((1, 3, 1))), cells_of(np.ones((5, 1, 1)))
    for method in ("crossed_bootstrap", "random_effects", "subjects", "bca"):
        found = find(method)(one_subject, Options(method), rng())
        assert np.isnan(found.low[0]) and found.mean[0] == 1.0 and found.made == "no interval: one subject"
    assert intervals.t_over_seeds(one_seed, Options(), rng()).made == "no interval: one seed"


@pytest.mark.parametrize(
    ("sums", "counts", "arms"),
    [
        (np.ones((3, 2)), np.ones((3, 2)), ()),
        (np.ones((3, 2, 1)), np.ones((3, 2, 2)), ()),
        (np.ones((3, 2, 1)), np.ones((3, 2, 1)), (1, 2)),
        (np.ones((3, 2, 1)), np.array([[[1], [0]]] * 3), ()),  # a seed without image
        (np.ones((2, 2, 1)), np.array([[[1], [1]], [[0], [0]]]), ()),  # a subject without image
    ],
)
def test_tables_that_cannot_be_read_are_refused(sums, counts, arms):
    with pytest.raises(ValueError, match="cells"):
        Cells(sums, counts, arms)


def test_an_unknown_method_is_refused_with_those_known():
    with pytest.raises(ConfigError, match="random_effects"):
        find("crossed")


@pytest.mark.parametrize("seed_sd", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_of_the_default_interval(seeds, seed_sd):
    """91 subjects, 1,000 replicates: within 3.5 binomial standard errors (2.4 points) of what is promised."""
    draw, hits, replicates = rng(100 * seeds + int(10 * seed_sd)), 0, 1000
    for _ in range(replicates // 50):
        cells = cells_of(two_way(91, seeds, 50, seed_sd, draw))
        found = intervals.crossed_bootstrap(cells, Options(resamples=600), draw)
        hits += int(((found.low <= 0) & (found.high >= 0)).sum())
    low, high = (0.92, 0.98) if seeds == 3 else (0.935, 0.965)
    tolerance = 3.5 * np.sqrt(0.95 * 0.05 / replicates)
    assert low - tolerance <= hits / replicates <= high + tolerance


def test_coverage_of_the_difference_of_two_models():
    """Five seeds each, large effects: Welch's degrees of freedom avoid the excess of Behrens-Fisher."""
    draw, hits, replicates = rng(77), 0, 1000
    for _ in range(replicates // 50):
        values = two_way(91, 10, 50, 0.5, draw)
        found = intervals.crossed_bootstrap(cells_of(values, arms=(5, 5)), Options(resamples=600), draw)
        hits += int(((found.low <= 0) & (found.high >= 0)).sum())
    tolerance = 3.5 * np.sqrt(0.95 * 0.05 / replicates)
    assert 0.935 - tolerance <= hits / replicates <= 0.965 + tolerance


def test_plain_resampling_of_three_seeds_would_not_cover():
    """The simulation has teeth: without the correction (seeds fixed) the same check fails by far."""
    draw, hits = rng(3), 0
    for _ in range(10):
        found = intervals.subjects(cells_of(two_way(91, 3, 50, 1.0, draw)), Options(resamples=300), draw)
        hits += int(((found.low <= 0) & (found.high >= 0)).sum())
    assert hits / 500 < 0.6
