import pandas as pd
import pytest

from sightline import published
from sightline.errors import ConfigError


def test_every_group_of_the_paper_is_there_once_with_its_source():
    figures = published.figures("cxr_gaze")
    key = ["method", "model", "reading", "metric", "stratum", "level"]
    assert not figures.duplicated(key).any()
    # Tables 1 and 2: 10 rows x 4 metrics = 120 printed numbers; Table 3: 3 methods x 2 metrics x 2 levels
    assert figures["table"].value_counts().to_dict() == {"Table 1": 20, "Table 2": 20, "Table 3": 12}
    assert figures["source"].str.len().min() > 10
    assert figures.groupby("level")["n"].unique().map(list).to_dict() == {
        "": [91],
        "abnormal": [74],
        "normal": [17],
    }


def test_intervals_hold_their_mean_in_the_middle():
    figures = published.figures()
    assert ((figures["low"] < figures["mean"]) & (figures["mean"] < figures["high"])).all()
    # printed numbers are rounded: each end by at most half a thousandth, so is the mean
    assert (((figures["low"] + figures["high"]) / 2 - figures["mean"]).abs() < 1.001e-3).all()


def test_classifier_aucs_follow_from_the_authors_seeds(golden):
    seeds = pd.read_csv(golden / "published" / "paper_classifier_auc.csv").rename(columns={"auc": "mean"})
    found = published.classification().set_index(["model", "label"])
    assert len(found) == 2 * 15
    for (model, label), row in found.iterrows():
        values = seeds.loc[seeds["model"] == model, label]
        half = 1.96 * values.std(ddof=1) / 5**0.5
        expected = [values.mean(), values.mean() - half, values.mean() + half]
        assert [round(value, 3) for value in expected] == row[["auc", "low", "high"]].tolist(), (model, label)


@pytest.mark.parametrize("study", ["cxr_gase", "cxr_gaze_classification", "../tables"])
def test_an_unknown_study_is_refused_with_those_known(study):
    with pytest.raises(ConfigError, match="cxr_gaze"):
        published.figures(study)
