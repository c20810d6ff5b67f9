"""AUC per label with intervals: against scikit-learn, closed forms, the paper's published figures, and
coverage.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from sightline import tables
from sightline.classification.auc import auc
from sightline.classification.auc_intervals import (
    Interval,
    _subject_variance,
    auc_rows,
    auc_table,
    summarise,
)
from sightline.errors import TableError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("distinct", [2, 7, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_auc_equals_scikit_learn_with_ties(distinct, seed):
    random = np.random.default_rng(seed)
    value = (random.random(300) < 0.2).astype(float)
    logit = random.integers(0, distinct, 300) + value * random.random()
    assert auc(value, logit) == pytest.approx(roc_auc_score(value, logit), abs=1e-12)
    unknown = value.copy()
    unknown[::3] = np.nan
    known = ~np.isnan(unknown)
    assert auc(unknown, logit) == pytest.approx(roc_auc_score(value[known], logit[known]), abs=1e-12)


@pytest.mark.parametrize("value", [np.zeros(5), np.ones(5), np.full(5, np.nan), np.empty(0)])
def test_one_value_alone_has_no_auc(value):
    assert np.isnan(auc(value, np.arange(len(value), dtype=float)))


def predictions(seeds=3, images=40, labels=("A", "B"), effect=1.0, seed=0, model="m"):
    random = np.random.default_rng(seed)
    value = {label: (random.random(images) < 0.4).astype(float) for label in labels}
    rows = [
        {
            "dataset": "d",
            "model": model,
            "seed": run,
            "condition": "clean",
            "image": f"i{image:04d}",
            "label": label,
            "logit": effect * value[label][image] + random.standard_normal(),
            "value": value[label][image],
        }
        for run in range(seeds)
        for label in labels
        for image in range(images)
    ]
    return pd.DataFrame(rows)


def test_table_is_as_its_schema_and_t_over_seeds():
    given = predictions(seeds=4)
    table = auc_table(given)
    tables.conform("classification", table, "test")
    per_seed = [
        roc_auc_score(part["value"], part["logit"])
        for _, part in given[given["label"] == "A"].groupby("seed")
    ]
    row = table.set_index("label").loc["A"]
    half = t.ppf(0.975, 3) * np.std(per_seed, ddof=1) / 2
    assert row["value"] == pytest.approx(np.mean(per_seed))
    assert row["high"] - row["value"] == pytest.approx(half) or row["high"] == 1.0
    assert row["value"] - row["low"] == pytest.approx(half)
    assert (row["images"], row["seeds"], row["interval"]) == (40, 4, "95%, t over 4 seeds")
    mean = table.set_index("label").loc["mean"]
    assert mean["value"] == pytest.approx(table[table["label"] != "mean"]["value"].mean())


def test_a_label_with_one_value_alone_is_undefined_and_left_out_of_the_mean():
    given = predictions(labels=("A", "B", "C"))
    given.loc[given["label"] == "B", "value"] = 0.0
    given.loc[given["label"] == "C", "value"] = np.nan
    table = auc_table(given).set_index("label")
    assert table.loc[["B", "C"], "status"].tolist() == ["undefined"] * 2
    assert table.loc["B", ["positives", "images"]].tolist() == [0, 40]
    assert table.loc["C", ["positives", "images"]].tolist() == [0, 0]
    assert table.loc["mean", "value"] == table.loc["A", "value"]
    assert "mean of 1 of 3 labels" in table.loc["mean", "interval"]
    tables.conform("classification", table.reset_index(), "test")
    alone = auc_table(given[given["label"] != "A"]).set_index("label")
    assert alone.loc["mean", "status"] == "undefined"


def test_one_seed_has_no_interval_over_seeds():
    table = auc_table(predictions(seeds=1))
    assert table["low"].isna().all()
    assert table["status"].eq("ok").all()
    assert table["interval"].str.startswith("none: one seed").all()


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_subject_has_no_interval_over_subjects(seeds):
    given = predictions(seeds=seeds)
    subjects = pd.Series("s", index=given["image"].unique())
    table = auc_table(given, Interval("subjects_and_seeds", subjects=subjects))
    assert table["low"].isna().all() and table["value"].notna().all()
    assert table["interval"].str.startswith("none: one subject").all()


def test_no_prediction_is_an_empty_table():
    table = auc_table(predictions()[:0])
    assert tables.conform("classification", table, "test").num_rows == 0


def test_seeds_with_other_images_are_refused():
    given = predictions()
    with pytest.raises(TableError, match="the seeds hold other images"):
        auc_table(given[(given["seed"] > 0) | (given["image"] != "i0000")])


def test_an_image_that_stands_twice_is_refused():
    given = predictions()
    with pytest.raises(TableError, match="image i0003, label 'A' stands twice"):
        auc_table(pd.concat([given, given.iloc[3:4]]))


def test_models_and_conditions_are_kept_apart():
    table = auc_table(pd.concat([predictions(), predictions(model="n", effect=3.0, labels=("A",))]))
    assert table.groupby("model")["label"].count().to_dict() == {"m": 3, "n": 2}


def test_published_figures_of_the_paper(golden):
    published = pd.read_csv(golden / "published/paper_classifier_auc.csv")
    labels = [column for column in published if column not in ("model", "modeln", "auc")]
    per_label = published.drop(columns="auc")
    rows = per_label.melt(["model", "modeln"], labels, "label", "auc").rename(columns={"modeln": "seed"})
    rows = rows.assign(dataset="cxr", condition="clean", positives=1, images=2)
    table = summarise(rows, Interval("seeds_normal")).set_index(["model", "label"])
    for model, printed in {"sononet": 0.774, "ag_sononet": 0.769}.items():
        own = published[published["model"] == model]["auc"]
        row = table.loc[(model, "mean")]
        assert round(row["value"], 3) == printed
        assert row["high"] - row["value"] == pytest.approx(1.96 * own.std() / np.sqrt(5), abs=1e-12)
        assert row["interval"] == "1.96 SD / sqrt(5 seeds); mean of 14 of 14 labels"


def subjects(images, per_subject=2):
    return pd.Series({f"i{i:04d}": f"s{i // per_subject}" for i in range(images)})


def test_interval_over_subjects_counts_subjects_not_images():
    """Each image twice under one subject: the variance must be that of the single images, not half of it."""
    single = predictions(seeds=2, images=60)
    double = pd.concat([single, single.assign(image=single["image"] + "b")])
    of = subjects(60, 1)
    both = pd.concat([of, of.rename(lambda image: image + "b")])
    widths = []
    for given, whose in ((single, of), (double, both)):
        table = auc_table(given, Interval("subjects_and_seeds", subjects=whose))
        tables.conform("classification", table, "test")
        row = table.set_index("label").loc["mean"]
        widths.append(row["high"] - row["low"])
        assert "60 subjects" in row["interval"]
    assert widths[1] == pytest.approx(widths[0], rel=1e-9)


@pytest.mark.parametrize("unknown", [False, True])
def test_variance_over_subjects_is_the_bootstraps(unknown):
    """The closed form against 800 resamples of subjects (of three images each), for a label and for the
    mean.
    """
    given = predictions(seeds=2, images=240, effect=1.2)
    if unknown:
        given.loc[given["image"].str.endswith("7"), "value"] = np.nan
    of = subjects(240, 3)
    names, random = np.unique(of), np.random.default_rng(0)
    images_of = {name: of.index[of == name] for name in names}
    wide = {
        (label, seed): part.set_index("image")[["value", "logit"]]
        for (label, seed), part in given.groupby(["label", "seed"])
    }
    order = {image: row for row, image in enumerate(of.index)}
    arrays = {key: part.reindex(of.index).to_numpy(float) for key, part in wide.items()}
    means = []
    for _ in range(800):
        drawn = random.choice(names, len(names))
        rows = [order[image] for name in drawn for image in images_of[name]]
        means.append({key: auc(*values[rows].T) for key, values in arrays.items()})
    means = pd.DataFrame(means)
    means.columns = pd.MultiIndex.from_tuples(means.columns)
    spread = _subject_variance(given, Interval("subjects_and_seeds", subjects=of))
    for label, resampled in (("A", means["A"].mean(axis=1)), ("mean", means.mean(axis=1))):
        closed = spread[("d", "m", "clean", label)][0]
        assert np.sqrt(closed) == pytest.approx(resampled.std(), rel=0.12)


def test_interval_over_subjects_and_seeds_covers():
    """New subjects and new seeds each time; 150 studies; 0.95 - 4 SE is 0.88."""
    random = np.random.default_rng(0)
    truth, hits, studies = 0.7602, 0, 150  # Phi(1 / sqrt 2): effect 1, noise 1
    for _ in range(studies):
        value = (random.random(80) < 0.5).astype(float)
        shared = random.standard_normal(80)
        rows = pd.DataFrame(
            [
                ("d", "m", seed, "clean", f"i{i:04d}", "A", logit, value[i])
                for seed in range(3)
                for i, logit in enumerate(value + 0.8 * shared + 0.6 * random.standard_normal(80))
            ],
            columns=["dataset", "model", "seed", "condition", "image", "label", "logit", "value"],
        )
        chosen = Interval("subjects_and_seeds", subjects=subjects(80, 1))
        row = auc_table(rows, chosen).iloc[0]
        hits += row["low"] <= truth <= row["high"]
    assert 0.88 <= hits / studies < 1.0


def test_subjects_are_asked_for():
    with pytest.raises(ValueError, match="needs `subjects`"):
        auc_table(predictions(), Interval("subjects_and_seeds"))
    with pytest.raises(TableError, match="i0039 has no subject"):
        auc_table(predictions(), Interval("subjects_and_seeds", subjects=subjects(39)))
    with pytest.raises(ValueError, match="unknown kind"):
        auc_table(predictions(), Interval("guess"))


def test_rows_per_seed():
    rows = auc_rows(predictions(seeds=2))
    assert rows[["seed", "label"]].to_numpy().tolist() == [[0, "A"], [1, "A"], [0, "B"], [1, "B"]]


def test_no_torch_is_imported():
    code = "import sys, sightline.classification.auc_intervals as c; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "src"}, cwd=ROOT)
