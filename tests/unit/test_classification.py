"""How well models classify: every number against scikit-learn or a closed form, intervals against a slow
bootstrap and simulated coverage.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from scipy.stats import beta, norm
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from sightline import intervals, tables
from sightline.classification import calibration, confusions, counted, ranked
from sightline.classification.estimates import estimated
from sightline.classification.predicted import collect
from sightline.classification.summary import TABLES, summarise
from sightline.errors import TableError

ROOT = Path(__file__).resolve().parents[2]
FAST = intervals.Options(resamples=100)


def table(value: np.ndarray, logit: np.ndarray, **names) -> pd.DataFrame:
    """Table `predictions` of truths (N, L) and logits (S, N, L)."""
    seed, image, label = (each.ravel() for each in np.indices(logit.shape))
    row = {"dataset": "d", "model": "m", "condition": "clean"} | names
    return pd.DataFrame(
        {
            "seed": seed,
            "image": [f"i{at:04d}" for at in image],
            "label": [f"l{at}" for at in label],
            "logit": logit.ravel(),
            "value": np.broadcast_to(value, logit.shape).ravel(),
        }
    ).assign(**row)


def of_subjects(images: int, per_subject: int = 2) -> pd.Series:
    return pd.Series({f"i{at:04d}": f"s{at // per_subject:04d}" for at in range(images)})


def binary(images: int = 90, labels: int = 3, seeds: int = 2, seed: int = 0, steps: int = 4):
    """Truths with unknown ones, logits with ties."""
    random = np.random.default_rng(seed)
    value = (random.random((images, labels)) < [0.5, 0.2, 0.35][:labels]).astype(float)
    logit = np.round(steps * (value - 0.4 + random.normal(size=(seeds, images, labels)))) / steps
    value[random.random(value.shape) < 0.1] = np.nan
    return value, logit


def exclusive(images: int = 120, labels: int = 4, seeds: int = 2, seed: int = 1):
    random = np.random.default_rng(seed)
    value = np.eye(labels)[random.choice(labels, images, p=np.arange(1, labels + 1) / 10)]
    return value, 1.2 * value + random.normal(size=(seeds, images, labels))


def of(found: pd.DataFrame, label: str) -> pd.Series:
    return found[found["label"] == label].set_index("metric")["value"]


def measured(predictions, **given) -> pd.DataFrame:
    kinds = ["m"] if given.pop("exclusive", False) else []
    whose = of_subjects(predictions["image"].nunique())
    return summarise(predictions, whose, kinds, FAST)["classification"]


def theirs(value: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Every metric of one label and seed by scikit-learn, at probability 0.5."""
    known = ~np.isnan(value)
    truth, probability = value[known].astype(int), expit(logit[known])
    said = probability >= 0.5
    return {
        "auc": oracle.roc_auc_score(truth, probability),
        "average_precision": oracle.average_precision_score(truth, probability),
        "accuracy": oracle.accuracy_score(truth, said),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, said),
        "precision": oracle.precision_score(truth, said),
        "recall": oracle.recall_score(truth, said),
        "specificity": oracle.recall_score(truth, said, pos_label=0),
        "npv": oracle.precision_score(truth, said, pos_label=0),
        "f1": oracle.f1_score(truth, said),
        "brier": oracle.brier_score_loss(truth, probability),
    }


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_their_own_equal_scikit_learn(seed):
    value, logit = binary(seed=seed)
    found = measured(table(value, logit))
    each = []
    for label in range(3):
        of_seeds = [theirs(value[:, label], one[:, label]) for one in logit]
        each.append(pd.DataFrame(of_seeds).mean())
        own = of(found, f"l{label}")
        for name, expected in each[-1].items():
            assert own[name] == pytest.approx(expected, abs=1e-12), name
    for name, expected in pd.DataFrame(each).mean().items():
        assert of(found, "mean")[name] == pytest.approx(expected, abs=1e-12)


def test_exclusive_labels_equal_scikit_learns_report():
    value, logit = exclusive(seeds=1)
    found = measured(table(value, logit), exclusive=True)
    truth, probability = value.argmax(axis=1), softmax(logit[0], axis=1)
    said = probability.argmax(axis=1)
    report = oracle.classification_report(truth, said, output_dict=True)
    rows = {f"l{at}": report[str(at)] for at in range(4)}
    rows |= {"mean": report["macro avg"], "weighted": report["weighted avg"]}
    for label, expected in rows.items():
        own = of(found, label)
        for ours, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert own[ours] == pytest.approx(expected[name], abs=1e-12)
    support = found[found["metric"] == "recall"].set_index("label")["positives"]
    assert [support[f"l{at}"] for at in range(4)] == [report[str(at)]["support"] for at in range(4)]
    assert support["mean"] == support["weighted"] == 120
    together = of(found, "all")
    assert together["accuracy"] == pytest.approx(report["accuracy"])
    assert together["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(truth, said))
    half = oracle.brier_score_loss(truth, probability, labels=range(4), scale_by_half=True)
    assert together["brier"] == pytest.approx(half)
    areas = oracle.roc_auc_score(truth, probability, multi_class="ovr", average=None)
    np.testing.assert_allclose([of(found, f"l{at}")["auc"] for at in range(4)], areas, atol=1e-12)
    for at in range(4):
        mean = oracle.average_precision_score(truth == at, probability[:, at])
        assert of(found, f"l{at}")["average_precision"] == pytest.approx(mean)


def test_confusions_are_scikit_learns():
    value, logit = exclusive()
    found = summarise(table(value, logit), of_subjects(120), ["m"], FAST)
    names = [f"l{at}" for at in range(4)]
    sums = np.zeros((4, 4))
    for seed in range(2):
        expected = oracle.confusion_matrix(value.argmax(axis=1), logit[seed].argmax(axis=1))
        rows = found["confusions"][found["confusions"]["seed"] == seed]
        own = rows.pivot(index="truth", columns="predicted", values="count").loc[names, names]
        np.testing.assert_array_equal(own, expected)
        sums += expected
    shares = found["confusion_shares"].pivot(index="truth", columns="predicted", values="share")
    np.testing.assert_allclose(shares.loc[names, names], sums / sums.sum(axis=1, keepdims=True))
    counts = found["confusion_shares"].pivot(index="truth", columns="predicted", values="count")
    np.testing.assert_allclose(counts.loc[names, names], sums / 2)


def test_each_label_of_its_own_has_a_confusion_matrix():
    value, logit = binary(seeds=1)
    found = summarise(table(value, logit), of_subjects(90), [], FAST)["confusions"]
    for label in range(3):
        known = ~np.isnan(value[:, label])
        expected = oracle.confusion_matrix(value[known, label], logit[0, known, label] >= 0)
        own = found[found["label"] == f"l{label}"].pivot(index="truth", columns="predicted", values="count")
        order = ["negative", "positive"]
        np.testing.assert_array_equal(own.loc[order, order], expected)


def test_calibration_is_scikit_learns_and_its_error_the_sum_over_bins():
    value, logit = binary(seeds=1, labels=1, steps=50)
    found = summarise(table(value, logit), of_subjects(90), [], FAST)
    rows = found["calibration"][found["calibration"]["label"] == "l0"].dropna(subset=["observed"])
    known = ~np.isnan(value[:, 0])
    observed, said = calibration_curve(value[known, 0], expit(logit[0, known, 0]), n_bins=10)
    np.testing.assert_allclose(rows["observed"], observed)
    np.testing.assert_allclose(rows["predicted"], said)
    assert rows["images"].sum() == known.sum()
    error = (rows["images"] / known.sum() * (rows["observed"] - rows["predicted"]).abs()).sum()
    assert of(found["classification"], "l0")["ece"] == pytest.approx(error)
    pd.testing.assert_frame_equal(  # one label: all labels in one are that label
        rows.drop(columns="label").reset_index(drop=True),
        found["calibration"][found["calibration"]["label"] == "all"]
        .dropna(subset=["observed"])
        .drop(columns="label")
        .reset_index(drop=True),
    )


def test_calibration_error_of_two_bins_by_hand():
    # 3 images said at 0.9, of which 2 are positive; 2 at 0.2, of which none is: 3/5 |2/3 - 0.9| + 2/5 0.2
    logit = np.log(np.array([0.9, 0.9, 0.9, 0.2, 0.2]) / np.array([0.1, 0.1, 0.1, 0.8, 0.8]))
    found = measured(table(np.array([[1.0], [1], [0], [0], [0]]), logit[None, :, None]))
    assert of(found, "l0")["ece"] == pytest.approx(3 / 5 * (0.9 - 2 / 3) + 2 / 5 * 0.2)


def test_calibration_of_exclusive_labels_is_that_of_the_highest_one():
    value, logit = exclusive(seeds=1)
    probability = softmax(logit[0], axis=1)
    right = value.argmax(axis=1) == probability.argmax(axis=1)
    observed, said = calibration_curve(right, probability.max(axis=1), n_bins=10)
    found = summarise(table(value, logit), of_subjects(120), ["m"], FAST)
    rows = found["calibration"][found["calibration"]["label"] == "all"].dropna(subset=["observed"])
    np.testing.assert_allclose(rows["observed"], observed)
    np.testing.assert_allclose(rows["predicted"], said)
    error = (rows["images"] / 120 * (rows["observed"] - rows["predicted"]).abs()).sum()
    assert of(found["classification"], "all")["ece"] == pytest.approx(error)


@pytest.mark.parametrize("steps", [2, 1000])  # with and without ties
def test_curves_are_scikit_learns(steps):
    value, logit = binary(labels=1, seeds=1, steps=steps)
    known = ~np.isnan(value[:, 0])
    truth, score = value[known, 0], logit[0, known, 0]
    (predicted,) = collect(table(value, logit), of_subjects(90))
    one = np.ones((1, predicted.subjects))
    rates, recalls, _ = oracle.roc_curve(truth, score, drop_intermediate=False)
    own = ranked.roc(predicted).values(one)[0, 0, : len(ranked.GRID)]
    for at, height in zip(ranked.GRID, own):
        last = np.flatnonzero(rates <= at + 1e-9)[-1]
        expected = recalls[last]
        if last + 1 < len(rates):
            share = (at - rates[last]) / (rates[last + 1] - rates[last])
            expected += share * (recalls[last + 1] - recalls[last])
        assert height == pytest.approx(expected, abs=1e-9)
    assert np.trapezoid(own, ranked.GRID) == pytest.approx(oracle.roc_auc_score(truth, score), abs=0.012)
    precisions, recalls, _ = oracle.precision_recall_curve(truth, score)  # recall falls, thresholds rise
    own = ranked.precision_recall(predicted).values(one)[0, 0, : len(ranked.GRID)]
    reached = [np.flatnonzero(recalls[:-1] >= max(at - 1e-9, 1e-9))[-1] for at in ranked.GRID]
    np.testing.assert_allclose(own, precisions[reached], atol=1e-9)


@pytest.mark.parametrize("one_of", [False, True])
def test_weights_are_repetitions(one_of):
    """What every resample rests on: a subject that weighs k counts as k subjects, in every number."""
    value, logit = exclusive(60, seeds=2) if one_of else binary(60)
    predictions, whose = table(value, logit), of_subjects(60)
    kinds = ["m"] if one_of else []
    (predicted,) = collect(predictions, whose, kinds)
    weights = np.random.default_rng(3).integers(0, 4, (4, predicted.subjects))
    for measure in (
        counted.metrics,
        confusions.shares,
        lambda given: calibration.calibration(given)[0],
        ranked.average_precision,
        ranked.roc,
        ranked.precision_recall,
    ):
        drawn = measure(predicted).values(weights.astype(float))
        for row, found in zip(weights, drawn):
            copies = [
                predictions[
                    predictions["image"].map(whose).isin(np.array(sorted(set(whose)))[row > copy])
                ].assign(image=lambda frame, copy=copy: frame["image"] + f"c{copy}")
                for copy in range(row.max())
            ]
            again = pd.concat(copies)
            names = again["image"].unique()
            (repeated,) = collect(again, pd.Series(names, index=names), kinds)
            expected = measure(repeated).values(np.ones((1, repeated.subjects)))[0]
            kept = ~np.isnan(expected) & (np.array([name[-1] for name in measure(predicted).names]) != "ece")
            np.testing.assert_allclose(found[kept], expected[kept], atol=1e-9)


def test_intervals_of_subjects_are_those_of_a_slow_bootstrap():
    """F1, a balanced accuracy and an average precision, 500 resamples with scikit-learn, image by image."""
    value, logit = binary(160, labels=1, seeds=1, steps=1000)
    value[np.isnan(value)] = 0.0
    (predicted,) = collect(table(value, logit), of_subjects(160))
    options = intervals.Options("subjects", resamples=4000)
    measures = (counted.metrics, ranked.average_precision)
    parts = [estimated(predicted, measure(predicted), options, "test") for measure in measures]
    found = pd.concat(parts).set_index(["label", "metric"])
    random, drawn = np.random.default_rng(0), []
    truth, score = value[:, 0].astype(int), logit[0, :, 0]
    for _ in range(500):
        rows = (2 * random.integers(0, 80, 80)[:, None] + [0, 1]).ravel()
        drawn.append(
            (
                oracle.f1_score(truth[rows], score[rows] >= 0),
                oracle.balanced_accuracy_score(truth[rows], score[rows] >= 0),
                oracle.average_precision_score(truth[rows], score[rows]),
            )
        )
    for name, values in zip(("f1", "balanced_accuracy", "average_precision"), np.transpose(drawn)):
        row = found.loc[("l0", name)]
        tolerance = 4 * 0.12 * values.std()  # a 2.5 % point of 500 normal draws has an error of 0.12 SD
        np.testing.assert_allclose(
            [row["low"], row["high"]], np.quantile(values, [0.025, 0.975]), atol=tolerance
        )


def test_intervals_over_subjects_and_seeds_cover():
    """New patients and newly trained networks each time; 200 studies, 95 % within 4 binomial errors (0.062).

    Logits are N(+-1, 1) moved by N(0, 0.3) per seed: the expected recall is Phi(1 / sqrt(1.09)), and so are
    specificity and balanced accuracy. A third of 80 patients is positive.
    """
    random, truth = np.random.default_rng(5), norm.cdf(1 / np.sqrt(1.09))
    hits = dict.fromkeys(("recall", "specificity", "balanced_accuracy"), 0)
    studies = 200
    for _ in range(studies):
        value = (np.arange(80) < 27).astype(float)[:, None]
        shared = random.normal(size=(80, 1))
        noise = 0.8 * shared + 0.6 * random.normal(size=(3, 80, 1))
        logit = 2 * value - 1 + noise + 0.3 * random.normal(size=(3, 1, 1))
        (predicted,) = collect(table(value, logit), of_subjects(80, 1))
        found = estimated(predicted, counted.metrics(predicted), intervals.Options(resamples=200), "test")
        rows = found[found["label"] == "l0"].set_index("metric")
        for name in hits:
            hits[name] += rows.loc[name, "low"] <= truth <= rows.loc[name, "high"]
    for name, count in hits.items():
        assert 0.888 <= count / studies < 1.0, name


def test_undefined_is_said_with_its_reason_and_is_never_zero():
    value = np.array([[1.0, 0, np.nan], [0, 0, np.nan], [1, 0, np.nan], [0, 0, np.nan]])
    found = measured(table(value, np.full((1, 4, 3), -2.0)))
    row = found.set_index(["label", "metric"])
    why = row["interval"].str.removeprefix("none: ")
    assert row.loc[("l0", "precision"), "status"] == "undefined" and np.isnan(
        row.loc[("l0", "precision"), "value"]
    )
    assert why[("l0", "precision")] == "the label is never predicted"
    assert row.loc[("l0", "recall"), "value"] == 0 and row.loc[("l0", "f1"), "value"] == 0
    assert why[("l1", "recall")] == "no positive image" and row.loc[("l1", "specificity"), "value"] == 1
    assert why[("l1", "average_precision")] == "no positive image"
    assert row.loc[("l1", "auc"), "status"] == row.loc[("l1", "balanced_accuracy"), "status"] == "undefined"
    assert row.loc["l2", "status"].eq("undefined").all() and why[("l2", "brier")] == "no image"
    assert row.loc[("mean", "precision"), "status"] == "undefined"
    assert row.loc[("mean", "recall"), "value"] == 0 and row.loc[("mean", "specificity"), "value"] == 1
    assert (row["value"].isna() == (row["status"] == "undefined")).all() and row.loc[
        ("l0", "recall"), "seeds"
    ] == 1


def test_a_seed_that_never_says_a_label_is_left_out_of_its_precision():
    value, logit = binary(labels=1, seeds=3)
    logit[1] = -1.0
    row = measured(table(value, logit)).set_index(["label", "metric"]).loc["l0"]
    known = ~np.isnan(value[:, 0])
    each = [oracle.precision_score(value[known, 0], logit[seed, known, 0] >= 0) for seed in (0, 2)]
    assert (
        row.loc["precision", "value"] == pytest.approx(np.mean(each)) and row.loc["precision", "seeds"] == 2
    )
    assert "and 2 seeds" in row.loc["precision", "interval"]
    assert row.loc["precision", "interval"].endswith("; 3 seeds, not all have it")
    assert row.loc["recall", "seeds"] == 3


def test_a_model_that_is_never_wrong_has_an_interval_not_a_point():
    value = np.eye(2)[np.arange(40) % 2]
    found = summarise(table(value, 9 * value[None]), of_subjects(40, 4), ["m"], FAST)["classification"]
    row = found.set_index(["label", "metric"])
    for label in ("all", "mean", "l0"):
        assert row.loc[(label, "accuracy"), "high"] == 1.0
        assert row.loc[(label, "accuracy"), "low"] == pytest.approx(beta.ppf(0.025, 10.5, 0.5))  # 10 subjects
    assert row.loc[("l0", "accuracy"), "interval"] == "95% Jeffreys' binomial interval, 10 subjects"


def test_a_share_with_few_errors_has_at_least_the_interval_of_a_binomial_share():
    """One of 30 patients is missed: resamples alone would end near 1."""
    value = (np.arange(60) < 30).astype(float)[:, None]
    logit = np.where(np.arange(60) == 0, -1.0, 2.0)[None, :, None] * (2 * value - 1)
    found = summarise(table(value, logit), of_subjects(60, 1), [], intervals.Options(resamples=2000))
    row = found["classification"].set_index(["label", "metric"]).loc[("l0", "recall")]
    low, high = beta.ppf([0.025, 0.975], 29.5, 1.5)
    assert row["low"] <= low + 1e-9 and row["high"] >= high - 1e-9 and row["high"] <= 1.0
    assert row["interval"].endswith("; at least Jeffreys' binomial interval, 30 subjects")


def test_images_without_one_label_of_an_exclusive_set_are_left_out():
    value, logit = exclusive(40)
    broken = value.copy()
    broken[0], broken[1], broken[2, 0] = 0.0, 1.0, np.nan
    found = measured(table(broken, logit), exclusive=True)
    whole = measured(table(value[3:], logit[:, 3:]), exclusive=True)
    assert found["images"].max() == 37
    np.testing.assert_allclose(found["value"], whole["value"])


def test_all_tables_are_as_their_schemas_and_models_are_kept_apart():
    value, logit = binary()
    chosen, other = exclusive()
    both = pd.concat([table(value, logit), table(chosen, other, model="n")])
    whose = of_subjects(120)
    found = summarise(both, whose, ["n"], FAST)
    alone = summarise(table(value, logit), whose, [], FAST)
    for name in TABLES:
        tables.conform(name, found[name], "test")
        rows = found[name][found[name]["model"] == "m"].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, alone[name])
    empty = summarise(both.iloc[:0], whose, ["n"], FAST)
    assert set(empty) == set(TABLES) and all(len(frame) == 0 for frame in empty.values())
    shuffled = summarise(both.sample(frac=1, random_state=0), whose, ["n"], FAST)
    for name in TABLES:
        pd.testing.assert_frame_equal(shuffled[name], found[name])


@pytest.mark.parametrize("method", [name for name in intervals.METHODS if name != "crossed_bootstrap"])
def test_other_intervals_serve_too(method):
    value, logit = binary()
    options = intervals.Options(method, resamples=200)
    row = summarise(table(value, logit), of_subjects(90), [], options)["classification"]
    row = row.set_index(["label", "metric"]).loc[("l0", "f1")]
    assert 0 <= row["low"] < row["value"] < row["high"] <= 1
    assert ("crossed bootstrap" in row["interval"]) == (method == "pooled_normal")


def test_predictions_that_do_not_fit_together_are_refused():
    value, logit = binary(10)
    rows, whose = table(value, logit), of_subjects(10)
    with pytest.raises(TableError, match="image i0003, label 'l0' stands twice"):
        list(collect(pd.concat([rows, rows[rows["image"] == "i0003"]]), whose))
    with pytest.raises(TableError, match="the seeds hold other images"):
        list(collect(rows[(rows["seed"] > 0) | (rows["image"] != "i0003")], whose))
    changed = rows.copy()
    changed.loc[0, "value"] = 1 - np.nan_to_num(changed.loc[0, "value"])
    with pytest.raises(TableError, match="other truths"):
        list(collect(changed, whose))
    with pytest.raises(TableError, match="i0009 has no subject"):
        list(collect(rows, whose.drop("i0009")))
    with pytest.raises(TableError, match="two or more"):
        list(collect(rows[rows["label"] == "l0"], whose, ["m"]))


def test_no_torch_is_imported():
    code = "import sys, sightline.classification.summary as c; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "src"}, cwd=ROOT)


def test_nothing_is_divided_by_zero():
    value, logit = binary(20, steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured(table(value, logit))
