"""Strata of predictions against scikit-learn's confusion matrix, and of sizes against pandas' thirds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from sightline import strata, tables


def predictions(truth, logits, labels, model="m", seed=0, **changes) -> pd.DataFrame:
    """One row per image and label; `truth` (images,) indices of labels, `logits` (images, labels)."""
    rows = [
        {"dataset": "d", "model": model, "seed": seed, "condition": "clean", "image": f"i{image}",
         "label": label, "logit": logits[image][at], "value": float(truth[image] == at)}
        for image in range(len(truth))
        for at, label in enumerate(labels)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def levels(found: pd.DataFrame, stratum: str) -> pd.Series:
    tables.conform("strata", found, "test")
    return found[found["stratum"] == stratum].set_index("image")["value"]


LABELS = ["benign", "malignant"]


def test_outcomes_are_the_confusion_matrix_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, logits = random.integers(0, 2, 200), random.normal(size=(200, 2))
    found = strata.of_predictions(predictions(truth, logits, LABELS), {"m": LABELS}, ["malignant"])
    (tn, fp), (fn, tp) = confusion_matrix(truth, logits.argmax(axis=1))
    counts = levels(found, "outcome").value_counts().to_dict()
    assert counts == {"true negative": tn, "false positive": fp, "false negative": fn, "true positive": tp}
    assert levels(found, "prediction").value_counts().to_dict() == {"correct": tn + tp, "wrong": fp + fn}
    assert set(found["model"]) == {"m"} and set(found["seed"]) == {0}


def test_several_positive_labels_count_as_one():
    labels = ["1", "2", "4a", "5"]
    truth, said = [0, 1, 2, 3, 2, 0], [1, 1, 3, 3, 0, 2]
    found = strata.of_predictions(predictions(truth, np.eye(4)[said], labels), {"m": labels}, ["4a", "5"])
    assert levels(found, "prediction").tolist() == ["wrong", "correct", "wrong", "correct", "wrong", "wrong"]
    assert levels(found, "outcome").tolist() == [
        "true negative", "true negative", "true positive", "true positive", "false negative", "false positive"
    ]  # fmt: skip
    only = strata.of_predictions(predictions(truth, np.eye(4)[said], labels), {"m": labels}, ["malignant"])
    assert set(only["stratum"]) == {"prediction"}  # none of its labels is positive


def test_one_label_is_said_above_a_logit_of_zero():
    rows = predictions([0, 0, 1, 1], [[0.1], [-0.1], [0.2], [-3.0]], ["malignant"])  # value 1, 1, 0, 0
    found = strata.of_predictions(rows, {"m": ["malignant"]}, ["malignant"])
    assert levels(found, "prediction").tolist() == ["correct", "wrong", "wrong", "correct"]
    assert levels(found, "outcome").tolist() == [
        "true positive", "false negative", "false positive", "true negative"
    ]  # fmt: skip


def test_an_image_of_unknown_truth_has_no_level():
    rows = predictions([0, 1, 0], np.eye(2)[[0, 1, 1]], LABELS)
    rows.loc[rows["image"] == "i0", "value"] = np.nan
    rows.loc[rows["image"] == "i1", "value"] = 1.0  # both labels: they do not exclude each other here
    rows = pd.concat([rows, predictions([0], [[np.nan, 0.0]], LABELS).assign(image="i3")])
    assert levels(strata.of_predictions(rows, {"m": LABELS}), "prediction").to_dict() == {"i2": "wrong"}


def test_each_model_and_seed_has_its_own_and_repeated_rows_count_once():
    rows = pd.concat(
        [
            predictions([0, 1], np.eye(2)[[0, 0]], LABELS, seed=0),
            predictions([0, 1], np.eye(2)[[0, 0]], LABELS, seed=0),  # of another run
            predictions([0, 1], np.eye(2)[[1, 1]], LABELS, seed=1),
            predictions([0, 1], np.eye(2)[[1, 1]], LABELS, model="multi"),
        ]
    )
    found = strata.of_predictions(rows, {"m": LABELS}, names=["prediction"])
    tables.conform("strata", found, "test")
    assert found.set_index(["seed", "image"])["value"].to_dict() == {
        (0, "i0"): "correct", (0, "i1"): "wrong", (1, "i0"): "wrong", (1, "i1"): "correct"
    }  # fmt: skip


def test_nothing_to_judge_is_an_empty_table():
    rows = predictions([0], np.eye(2)[[0]], LABELS)
    assert tables.conform("strata", strata.of_predictions(rows, {}), "test").num_rows == 0
    assert (
        tables.conform("strata", strata.of_sizes(tables.empty("regions"), ["lesion"]), "test").num_rows == 0
    )


@pytest.mark.parametrize("n", [1, 2, 9, 100])
def test_sizes_are_thirds_with_their_cuts_in_the_name(n):
    share = np.random.default_rng(1).lognormal(-5, 1, n).clip(max=1)
    regions = pd.DataFrame(
        {"dataset": "d", "kind": "lesion", "image": [f"i{at:03d}" for at in range(n)], "status": "ok",
         "reason": None, "offset": 0, "shape": [[1]] * n, "area_share": share}
    )  # fmt: skip
    absent = regions.assign(image="z" + regions["image"], status="not_applicable", area_share=np.nan)
    other = regions.assign(kind="breast")
    found = strata.of_sizes(pd.concat([regions, absent, other]), ["lesion"])
    tables.conform("strata", found, "test")
    assert set(found["stratum"]) == {"lesion_size"} and len(found) == n
    first = found["value"].str.split(" ").str[0].tolist()
    if n > 2:
        assert first == pd.qcut(share, 3, labels=strata.SIZES).tolist()
        cut = 100 * np.quantile(share, 1 / 3)
        small = found["value"][found["value"].str.startswith("small")].iloc[0]
        assert float(small.split("up to ")[1].split(" %")[0]) == pytest.approx(cut, rel=0.05)
