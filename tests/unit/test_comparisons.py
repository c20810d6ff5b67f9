"""Paired comparisons: what pairs with what, the sign-flip test, Holm's correction, the mixed model."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sightline import tables
from sightline.comparisons import Side, compare, holm, mixed_model, sign_flips
from sightline.errors import ConfigError, TableError
from sightline.intervals import Options

FAST = Options(resamples=1000)
KEYS = ["model", "method", "reading", "seed", "image", "reader"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scores(*parts: dict, images: int = 30, readers: int = 1) -> pd.DataFrame:
    """Rows of table 'scores': per part `mean`, an image effect that all share, a seed effect, noise."""
    frames, of_image = [], rng(99).normal(size=images)
    for number, part in enumerate(parts):
        draw = rng(part.get("draw", number))
        seeds = part.get("seeds", range(3))
        index = pd.MultiIndex.from_product(
            [seeds, range(images), range(readers)], names=["seed", "i", "reader"]
        )
        frame = index.to_frame(index=False)
        frame["value"] = (
            part.get("mean", 0.0)
            + of_image[frame["i"]]
            + part.get("noise", 0.1) * draw.normal(size=len(frame))
        )
        frame["value"] += part.get("seed_sd", 0.0) * draw.normal(size=max(seeds) + 1)[frame["seed"]]
        for column, default in {"model": "m", "method": "g", "reading": "w", "condition": "clean"}.items():
            frame[column] = part.get(column, default)
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    rows["image"] = "i" + rows.pop("i").astype(str).str.zfill(3)
    rows["reader"] = rows["reader"].astype(str)
    rows = rows.assign(
        dataset="d",
        subject=rows["image"],
        reference="gaze",
        metric="ncc",
        center_bias="",
        status="ok",
        reason=None,
    )
    return rows[list(tables.SCHEMAS["scores"].columns)]


BASELINE = {"model": "", "method": "hull", "reading": "", "seeds": [0]}


def test_sides_are_read_from_text():
    assert Side.parse("gradcam/weighted@sononet+random") == Side("gradcam", "weighted", "sononet", "random")
    assert Side.parse("hull") == Side("hull", None, None, "clean")
    for text in ("", "a/b/c", "@m", "a+b@c"):
        with pytest.raises(ConfigError, match="method"):
            Side.parse(text)


def test_two_methods_of_one_model_pair_by_image_and_seed():
    rows = scores({"mean": 0.3, "seed_sd": 1.0, "draw": 1}, {"method": "h"})
    # a seed effect that both methods share cancels: give h the same one
    shared = rows[rows["method"] == "g"].groupby("seed")["value"].mean()
    rows.loc[rows["method"] == "h", "value"] += rows["seed"].map(shared)
    found = compare(rows, [("g", "h")], "test", options=FAST)
    tables.conform("comparisons", found, "test")
    row = found.iloc[0]
    wide = rows.pivot_table(index="image", columns=["method", "seed"], values="value")
    differences = wide["g"] - wide["h"]
    assert row["difference"] == pytest.approx(differences.to_numpy().mean())
    assert row[["images", "subjects", "seeds", "reading"]].tolist() == [30, 30, 3, "w"]
    assert row["high"] - row["low"] < 0.3  # unpaired seeds of SD 1 would make it wider than 1
    p, _ = sign_flips(differences.mean(axis=1).to_numpy()[:, None], 1000, rng())
    assert row["p"] == pytest.approx(p[0], abs=0.05)
    assert "3 seeds" in row["interval"]


def test_seeds_of_two_models_are_independent_and_both_enter_the_interval():
    rows = scores(
        {"model": "m", "seed_sd": 0.5, "seeds": range(5)},
        {"model": "n", "seed_sd": 0.5, "seeds": range(5), "mean": 0.2},
    )
    found = compare(rows, [("g@m", "g@n")], "test", options=Options(resamples=4000)).iloc[0]
    seeds = rows.groupby(["model", "seed"])["value"].mean()
    assert found["difference"] == pytest.approx(seeds["m"].mean() - seeds["n"].mean())
    # images are shared and their noise is small: only the seeds' variance is left, so Welch's t is right
    welch = stats.ttest_ind(seeds["m"], seeds["n"], equal_var=False).confidence_interval(0.95)
    assert found["high"] - found["low"] == pytest.approx(welch.high - welch.low, rel=0.2)
    assert "5 and 5 seeds" in found["interval"]


def test_a_baseline_has_one_seed_and_one_empty_reading_and_meets_every_reading():
    rows = scores({"mean": 0.5}, {"reading": "u"}, BASELINE)
    found = compare(rows, [("g@m", "hull")], "test", options=FAST)
    assert found["reading"].tolist() == ["u", "w"]
    assert found["interval"].str.contains("3 and 1 seeds").all()
    hull = rows[rows["method"] == "hull"]["value"].mean()
    expected = rows[rows["method"] == "g"].groupby("reading")["value"].mean() - hull
    np.testing.assert_allclose(found["difference"], expected.to_numpy())


def test_readings_of_one_side_each_are_named_together():
    found = compare(scores({}, {"reading": "u"}), [("g/w", "g/u")], "test", options=FAST)
    assert found["reading"].tolist() == ["w | u"]


def test_only_images_that_all_seeds_of_both_models_scored_count():
    rows = scores({"model": "m"}, {"model": "n"})
    gone = (rows["model"] == "n") & (rows["seed"] == 1) & (rows["image"] == "i004")
    rows.loc[gone, ["value", "status"]] = [np.nan, "undefined"]
    found = compare(rows, [("g@m", "g@n")], "test", options=FAST).iloc[0]
    assert found["images"] == 29
    kept = rows[rows["image"] != "i004"].groupby("model")["value"].mean()
    assert found["difference"] == pytest.approx(kept["m"] - kept["n"])


def test_of_one_model_a_seed_that_lacks_an_image_lacks_it_on_both_sides():
    rows = scores({}, {"method": "h"}, images=4)
    gone = (rows["method"] == "h") & (rows["seed"] == 1) & (rows["image"] == "i002")
    rows.loc[gone, ["value", "status"]] = [np.nan, "undefined"]
    found = compare(rows, [("g", "h")], "test", options=FAST).iloc[0]
    wide = rows.pivot_table(index=["seed", "image"], columns="method", values="value")
    assert found["difference"] == pytest.approx(
        (wide["g"] - wide["h"]).dropna().groupby("seed").mean().mean()
    )
    assert found["images"] == 4


def test_a_pair_without_a_value_in_common_stays_with_null_numbers_and_corrects_nothing():
    rows = scores({}, {"method": "h"}, {"method": "k", "mean": 0.02})
    rows.loc[rows["method"] == "h", ["value", "status"]] = [np.nan, "not_applicable"]
    found = compare(rows, [("g", "h"), ("g", "k")], "test", options=FAST).set_index("b")
    assert found.loc["h", ["difference", "low", "high", "p", "p_corrected"]].isna().all()
    assert found.loc["h", "images"] == 0 and "no image" in found.loc["h", "test"]
    assert found.loc["k", "p_corrected"] == found.loc["k", "p"]
    tables.conform("comparisons", found.reset_index(), "test")


def test_strata_have_rows_of_their_own_in_the_same_family():
    rows = scores({"mean": 0.05}, {"method": "h"})
    images = rows["image"].unique()
    strata = pd.DataFrame({"dataset": "d", "image": images, "stratum": "half", "model": None, "seed": None})
    strata["value"] = np.where(np.arange(30) < 12, "low", "high")
    found = compare(rows, [("g", "h")], "test", strata=strata, options=FAST).set_index("level")
    assert found["images"].to_dict() == {"": 30, "high": 18, "low": 12}
    np.testing.assert_allclose(found["p_corrected"], holm(found["p"].to_numpy()))
    expected = (12 * found.loc["low", "difference"] + 18 * found.loc["high", "difference"]) / 30
    assert found.loc["", "difference"] == pytest.approx(expected)
    assert "exact" in found.loc["low", "test"]


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([("g", "hull")], ConfigError, "'g': names the scores of one model; here: 'm', 'n'"),
        ([("lime@m", "hull")], ConfigError, "here: none"),
        ([("g/u@m", "hull")], ConfigError, "here: none"),
        ([("g@m", "g@m+rotated")], ConfigError, "here: none"),
        ([("g@m", "far")], TableError, "no row of one dataset, metric and image"),
    ],
)
def test_sides_that_do_not_name_one_thing_are_refused(pairs, error, message):
    rows = scores({}, {"model": "n"}, BASELINE, BASELINE | {"method": "far"})
    rows.loc[rows["method"] == "far", "metric"] = "auc"
    with pytest.raises(error, match=message):
        compare(rows, pairs, "test", options=FAST)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_exact_sign_flips_are_all_sign_flips(n):
    differences = rng(n).normal(0.4, size=(n, 3))
    signs = np.array(list(itertools.product([-1, 1], repeat=n)))
    expected = [np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12) for d in differences.T]
    found, name = sign_flips(differences, 10, rng())
    np.testing.assert_allclose(found, expected)
    assert "exact" in name


def test_drawn_sign_flips_agree_with_scipy_and_are_never_zero():
    differences = rng(3).normal(0.25, size=(40, 2))
    found, _ = sign_flips(differences, 20_000, rng())
    for p, column in zip(found, differences.T):
        theirs = stats.permutation_test(
            (column,), np.sum, permutation_type="samples", n_resamples=20_000, rng=1
        ).pvalue
        assert p == pytest.approx(theirs, abs=5 * np.sqrt(2 * 0.25 / 20_000))
    assert sign_flips(np.ones((40, 1)), 999, rng())[0][0] == 1 / 1000


def test_equal_sides_have_p_one():
    rows = scores({"draw": 1}, {"draw": 1, "method": "h"})
    found = compare(rows, [("g", "h")], "test", options=FAST).iloc[0]
    assert found["difference"] == 0.0 and found["p"] == 1.0


def test_under_no_difference_sign_flips_reject_as_often_as_they_say():
    """2,000 null data sets of skewed but symmetric-in-sign differences; 4 binomial standard errors."""
    draw = rng(6)
    differences = draw.lognormal(size=(25, 2000)) * draw.choice([-1.0, 1.0], size=(25, 2000))
    p, _ = sign_flips(differences, 999, draw)
    for level in (0.01, 0.05, 0.2):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 2000)


def test_holm_agrees_with_statsmodels_and_skips_nan():
    p = rng(4).uniform(0, 0.2, size=15) ** 2
    p[3] = p[7]
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    with_gap = np.insert(p, 5, np.nan)
    assert np.isnan(holm(with_gap)[5])
    np.testing.assert_allclose(np.delete(holm(with_gap), 5), holm(p))
    assert holm(np.array([])).shape == (0,)


def test_the_mixed_model_is_students_z_where_nothing_repeats():
    values = rng(5).normal(0.3, size=50)
    rows = pd.DataFrame({"value": values, "subject": range(50), "seed": 0, "reader": ""})
    p, name = mixed_model(rows)
    z = values.mean() / (values.std(ddof=1) / np.sqrt(50))
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-10) and "normal" in name


def test_the_mixed_model_of_a_balanced_table_is_the_analysis_of_variance():
    draw = rng(8)
    values = (
        0.3 + draw.normal(size=(30, 1)) + 0.4 * draw.normal(size=(1, 5)) + 0.5 * draw.normal(size=(30, 5))
    )
    rows = pd.DataFrame(
        [(values[i, s], i, s, "") for i in range(30) for s in range(5)],
        columns=["value", "subject", "seed", "reader"],
    )
    n, k = values.shape
    of_rows, of_columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - of_rows[:, None] - of_columns + values.mean()
    residual = (rest**2).sum() / ((n - 1) * (k - 1))
    variance = of_rows.var(ddof=1) / n + of_columns.var(ddof=1) / k - residual / (n * k)
    p, name = mixed_model(rows)
    assert p == pytest.approx(2 * stats.norm.sf(abs(values.mean()) / np.sqrt(variance)), rel=0.02)
    assert name == "mixed model, effects of subject, seed, Wald z"


def test_readers_enter_the_mixed_model_only_where_they_are_identified():
    rows = scores({"mean": 0.05}, {"method": "h"}, images=12, readers=3)
    for test, effects in (("mixed_model", "subject, seed"), ("mixed_model_readers", "subject, seed, reader")):
        found = compare(rows, [("g", "h")], "test", options=FAST, test=test).iloc[0]
        assert found["test"] == f"mixed model, effects of {effects}, Wald z"
        assert 0.0 < found["p"] < 1.0
    two = scores({"model": "m"}, {"model": "n"}, images=12, readers=3)
    found = compare(two, [("g@m", "g@n")], "test", options=FAST, test="mixed_model").iloc[0]
    assert "normal test over rows" in found["test"]


def test_a_mixed_model_too_large_for_dense_matrices_is_refused():
    rows = pd.DataFrame({"value": 0.0, "subject": range(400), "seed": 0, "reader": ""})
    with pytest.raises(TableError, match="sign_flips"):
        mixed_model(rows)
