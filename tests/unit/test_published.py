import pandas as pd
import pytest

from sightline import published
from sightline.errors import ConfigError
from sightline.figures import intervals, strata
from tests.unit.made_up_study import summary


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
        assert [round(value, 3) for value in expected] == row[["value", "low", "high"]].tolist(), (
            model,
            label,
        )


def test_the_mammography_tables_are_whole_and_agree_with_themselves():
    """Tables 2 to 9: what the paper prints follows from its labels' rows, but one accuracy in its text."""
    found = published.classification("mammography")
    assert not found.duplicated(["place", "dataset", "model", "label", "metric"]).any()
    tables_of = found[found["place"].str.startswith("Table")]
    assert tables_of["place"].value_counts().to_dict() == {
        f"Table {number}": 37 if number in (6, 7) else 13 for number in range(2, 10)
    }
    off = []
    for (_, dataset, model), table in tables_of.groupby(["place", "dataset", "model"]):
        wide = table.pivot(index="label", columns="metric", values="value")
        support = table[table["metric"] == "recall"].set_index("label")["positives"].astype(int)
        labels = wide.index.difference(["mean", "weighted", "all"])
        share = support[labels] / support["mean"]
        assert support[labels].sum() == support["mean"] == support["weighted"]
        # two decimals each: half a hundredth for the mean and for what it is made of
        for name in ("precision", "recall", "f1"):
            assert wide.loc["mean", name] == pytest.approx(wide.loc[labels, name].mean(), abs=0.0101)
            expected = (wide.loc[labels, name] * share).sum()
            assert wide.loc["weighted", name] == pytest.approx(expected, abs=0.0101)
        each = wide.loc[labels]
        harmonic = 2 * each["precision"] * each["recall"] / (each["precision"] + each["recall"])
        assert (harmonic - each["f1"]).abs().max() < 0.011
        right = (wide.loc[labels, "recall"] * share).sum()
        assert wide.loc["all", "accuracy"] == pytest.approx(right, abs=0.0101)
        told = found[
            (found["dataset"] == dataset)
            & (found["model"] == model)
            & found["place"].str.startswith("Section")
        ]
        assert len(told) == 1 and told["metric"].item() == "accuracy"
        if abs(told["value"].item() - right) > 0.0101:
            off.append((dataset, model, told["value"].item()))
    assert off == [("cbis_ddsm", "efficientnet", 0.6925)]  # 0.65 in its Table 2
    assert set(found.loc[found["dataset"] == "mnist", "label"]) >= {str(digit) for digit in range(10)}


def test_a_study_without_scores_has_none_to_show():
    figures = published.figures("mammography")
    assert figures.empty and list(figures.columns) == list(published.figures().columns)
    assert published.studies() == ["cxr_gaze", "mammography"]
    for draw in (intervals.draw, lambda *given: strata.draw(*given, stratum="abnormal")):
        assert "published" not in "".join(text.get_text() for text in draw(summary(), figures).texts)


@pytest.mark.parametrize("study", ["cxr_gase", "cxr_gaze_classification", "../tables"])
def test_an_unknown_study_is_refused_with_those_known(study):
    with pytest.raises(ConfigError, match="cxr_gaze"):
        published.figures(study)
