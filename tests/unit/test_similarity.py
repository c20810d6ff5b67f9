"""NCC, sNCC, AUC, sAUC: the authors' numbers, brute force over all pairs, ties, masks and degenerate maps."""

import json

import numpy as np
import pytest

from sightline.metrics import sampled, similarity
from sightline.metrics.sampled import sampled_auc
from sightline.metrics.similarity import Ranked, auc, evaluate, ncc, prepare, sauc, sncc


@pytest.fixture(scope="module")
def cases(golden):
    inputs = np.load(golden / "metrics" / "inputs.npz")
    results = json.loads((golden / "metrics" / "outputs.json").read_text())["results"]
    assert len(results) == 12
    return [(row, *(inputs[f"{kind}_{row['i']:02d}"] for kind in ("gt", "sm", "cb"))) for row in results]


def test_correlations_are_the_authors(cases):
    for row, reference, saliency, bias in cases:
        assert ncc(reference, saliency) == pytest.approx(row["ncc"], abs=1e-6), row["kind"]
        assert sncc(reference, saliency, bias) == pytest.approx(row["sncc"], abs=1e-6), row["kind"]
        assert ncc(reference, saliency) == pytest.approx(row["ncc_f64"], abs=1e-12), row["kind"]


def test_exact_aucs_are_the_limit_of_the_authors_sampling(cases):
    for row, reference, saliency, bias in cases:
        assert auc(reference, saliency) == pytest.approx(row["auc_exact"], abs=1e-9), row["kind"]
        assert sauc(reference, saliency, bias) == pytest.approx(row["sauc_exact"], abs=1e-9), row["kind"]


@pytest.mark.parametrize("with_bias", [False, True])
def test_sampled_auc_agrees_with_the_authors_own_draws(cases, with_bias):
    for row, reference, saliency, bias in cases:
        generator = np.random.default_rng(row["i"])
        draws = [
            sampled_auc(reference, saliency, generator, bias if with_bias else None, n=1000)
            for _ in range(40)
        ]
        theirs = row["sauc_unpatched_mean400" if with_bias else "auc_unpatched_mean400"]
        spread = row["sauc_unpatched_sd" if with_bias else "auc_unpatched_sd"]
        assert abs(np.mean(draws) - theirs) < 4 * spread * np.sqrt(1 / 40 + 1 / 400), row["kind"]
        assert 0.5 * spread < np.std(draws, ddof=1) < 2 * spread, row["kind"]


def by_all_pairs(positive, saliency, negative):
    value = saliency.ravel()
    wins = (value[:, None] > value) + 0.5 * (value[:, None] == value)
    p, q = positive.ravel() / positive.sum(), negative.ravel() / negative.sum()
    return p @ wins @ q


@pytest.mark.parametrize("shape", [(211,), (13, 17), (5, 6, 7)])
@pytest.mark.parametrize("kind", ["distinct", "ties", "signed", "binary", "relu", "signed zeros"])
def test_auc_equals_all_pairs(shape, kind):
    random = np.random.default_rng(5)
    saliency = random.normal(size=shape).astype(np.float32)
    saliency = {
        "distinct": np.abs(saliency),
        "ties": np.round(2 * saliency),
        "signed": saliency,
        "binary": (saliency > 0.7).astype(np.float32),
        "relu": np.maximum(saliency, 0),
        "signed zeros": np.where(saliency > 0.5, saliency, np.float32(0.0) * np.sign(saliency)),
    }[kind]
    reference, bias = random.gamma(0.5, size=(2, *shape))
    assert auc(reference, saliency) == pytest.approx(
        by_all_pairs(reference, saliency, np.ones(shape)), abs=1e-12
    )
    assert sauc(reference, saliency, bias) == pytest.approx(
        by_all_pairs(reference, saliency, bias), abs=1e-12
    )


def test_masks_are_the_pixels_picked_by_hand():
    random = np.random.default_rng(6)
    saliency, reference, bias = random.random((3, 20, 30))
    mask = random.random((20, 30)) > 0.4
    assert auc(reference, saliency, mask=mask) == pytest.approx(
        auc(reference[mask], saliency[mask]), abs=1e-15
    )
    assert sauc(reference, saliency, bias, mask) == pytest.approx(
        by_all_pairs(reference[mask], saliency[mask], bias[mask]), abs=1e-7
    )
    picked = np.corrcoef(reference[mask], saliency[mask])[0, 1]
    assert ncc(reference, saliency, mask) == pytest.approx(picked, abs=1e-12)
    against = np.corrcoef(bias[mask], saliency[mask])[0, 1]
    assert sncc(reference, saliency, bias, mask) == pytest.approx(picked - against, abs=1e-12)


def test_monotone_changes_leave_auc_and_linear_ones_ncc():
    random = np.random.default_rng(7)
    saliency, reference = random.random((2, 40, 40)).astype(np.float32)
    ranks = saliency.ravel().argsort().argsort().reshape(40, 40)
    assert auc(reference, ranks) == pytest.approx(auc(reference, saliency), abs=1e-15)
    assert auc(reference, -saliency) == pytest.approx(1 - auc(reference, saliency), abs=1e-12)
    assert ncc(reference, 3 * saliency + 2) == pytest.approx(ncc(reference, saliency), abs=1e-6)
    assert ncc(reference, -saliency) == pytest.approx(-ncc(reference, saliency), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-42, 1e-20, 1.0, 1e20, 1e200])
def test_scores_do_not_depend_on_a_maps_scale_or_width(scale):
    random = np.random.default_rng(8)
    saliency, reference = random.random((2, 30, 30))
    saliency = saliency.astype(np.float32).astype(np.float64)
    expected = (auc(reference, saliency), ncc(reference, saliency))
    assert (auc(reference, saliency.astype(np.float32)), ncc(reference, saliency)) == expected
    factor = 2.0 ** round(np.log2(scale))
    assert auc(reference, saliency * factor) == expected[0]
    assert ncc(reference, saliency * factor) == pytest.approx(expected[1], abs=1e-12)


def test_degenerate_maps():
    reference = np.random.default_rng(9).random((8, 9))
    flat = np.full((8, 9), 0.1)
    assert auc(reference, flat) == 0.5 and sauc(reference, flat, reference) == 0.5
    assert np.isnan(ncc(reference, flat)) and np.isnan(ncc(flat, reference))
    assert np.isnan(sncc(reference, flat, reference)) and np.isnan(sncc(reference, reference, flat))
    assert np.isnan(auc(np.zeros((8, 9)), reference)) and np.isnan(
        sauc(reference, reference, np.zeros((8, 9)))
    )
    assert np.isnan(sampled_auc(np.zeros((8, 9)), reference, np.random.default_rng(0)))
    rounding = flat + 1e-17 * np.arange(72).reshape(8, 9)  # equal in float32: constant, not noise
    assert np.isnan(ncc(reference, rounding)) and auc(reference, rounding) == 0.5


@pytest.mark.parametrize("metric", [auc, sauc])
def test_negative_densities_are_refused(metric):
    values = np.arange(12.0).reshape(3, 4)
    arguments = (values,) if metric is sauc else ()
    with pytest.raises(ValueError, match="none negative"):
        metric(values - 1, values, *arguments)
    with pytest.raises(ValueError, match="finite"):
        metric(np.where(values > 3, np.nan, 1.0), values, *arguments)
    with pytest.raises(ValueError, match="1 values that are not finite"):
        metric(values, np.where(values == 3, np.inf, 1.0), *arguments)
    with pytest.raises(ValueError, match="shapes differ"):
        metric(values, values.T, *arguments)


def test_correlation_takes_signed_references():
    a, b = np.random.default_rng(10).normal(size=(2, 50))
    assert ncc(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)


def test_one_sort_serves_many_references():
    random = np.random.default_rng(11)
    saliency, references = np.round(random.random((20, 20)), 1), random.random((5, 20, 20))
    biases = {name: random.random((20, 20)) for name in ("none", "image")}
    prepared = {name: similarity.prepare([bias]) for name, bias in biases.items()}
    found = similarity.evaluate(
        list(similarity.METRICS), similarity.Ranked(saliency), similarity.prepare(references), prepared
    )
    assert set(found) == {("ncc", ""), ("auc", ""), *((m, b) for m in ("sncc", "sauc") for b in biases)}
    for at, reference in enumerate(references):
        assert found["ncc", ""][at] == pytest.approx(ncc(reference, saliency), abs=1e-12)
        assert found["auc", ""][at] == pytest.approx(auc(reference, saliency), abs=1e-12)
        for name, bias in biases.items():
            assert found["sncc", name][at] == pytest.approx(sncc(reference, saliency, bias), abs=1e-12)
            assert found["sauc", name][at] == pytest.approx(sauc(reference, saliency, bias), abs=1e-12)


def test_sampled_metrics_of_the_table_draw_once_and_near_the_exact_ones():
    random = np.random.default_rng(3)
    maps, biases = random.random((4, 30, 30)), {"image": prepare([random.random((30, 30))])}
    references, ranked = prepare(list(maps[1:])), Ranked(maps[0])
    drawn = sampled.evaluate(["auc_sampled", "sauc_sampled"], ranked, references, biases)
    exact = evaluate(["auc", "sauc"], ranked, references, biases)
    assert list(drawn) == [("auc_sampled", ""), ("sauc_sampled", "image")]
    again = sampled.evaluate(["sauc_sampled"], ranked, references, biases)
    assert np.array_equal(drawn["sauc_sampled", "image"], again["sauc_sampled", "image"])
    for (name, leave_out), values in drawn.items():
        difference = values - exact[name.removesuffix("_sampled"), leave_out]
        assert 0 < np.abs(difference).max() < 5 * 0.0135
