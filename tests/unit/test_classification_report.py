"""How well the models classify, on the page: first the answer, then tables beside the published ones."""

import pytest

from sightline import published, tables
from sightline.figures import words
from sightline.report import classification_report, study_page
from tests.unit import made_up_classification as made_up
from tests.unit import made_up_study

KNOWN = published.classification("mammography")


def of(kind: str):
    return made_up.tables(kind)["classification"]


def row(frame, **names):
    for name, value in names.items():
        frame = frame[frame[name] == value]
    (found,) = [one for _, one in frame.iterrows()]
    return found


def test_exclusive_labels_are_answered_by_accuracy_beside_the_commonest_label():
    frame = of("mammograms")
    first, second = classification_report.answers(frame)
    accuracy = row(frame, dataset="cbis_ddsm", model="efficientnet", label="all", metric="accuracy")
    assert first.startswith("On cbis ddsm, efficientnet predicts " + words.estimate(accuracy, "value"))
    assert second.startswith("On inbreast, ")
    benign = row(frame, dataset="cbis_ddsm", model="vit", label="benign", metric="recall")
    share = benign["positives"] / benign["images"]
    assert f"always saying benign ({share:.2f})" in first and share > 0.5
    side = "more than" if accuracy["low"] > share else "not distinguishable from"
    assert f"rightly, {side} always saying benign" in first
    area = row(frame, dataset="cbis_ddsm", model="vit", label="mean", metric="auc")
    assert f"AUC of {words.estimate(area, 'value')}, not distinguishable from chance" in first


def test_other_labels_are_answered_by_their_mean_auc():
    (told,) = classification_report.answers(of("films"))
    assert told.startswith("The models' mean AUC over labels: sononet 0.88") and "above chance" in told


def test_a_model_without_a_known_image_is_passed_over():
    frame = of("mammograms").copy()
    frame.loc[frame["model"] == "vit", ["value", "low", "high"]] = float("nan")
    assert all("vit" not in told for told in classification_report.answers(frame))
    assert classification_report.answers(tables.empty("classification")) == []


def test_published_accuracies_stand_in_a_column_with_their_places():
    found = classification_report.together(of("mammograms"), KNOWN)
    first = found.frame.iloc[0]
    assert (first["Model"], first["Accuracy, published"]) == (
        "efficientnet",
        "0.65 (Table 2), 0.6925 (Section 4.1)",
    )
    assert found.frame["Accuracy, published"].iloc[1] == "0.60 (Table 3), 0.5991 (Section 4.1)"
    assert "Sections 4.1, 4.2, Tables 2, 3, 4, 5." in found.caption
    assert "Accuracy, published" not in classification_report.together(of("films"), KNOWN).frame


@pytest.mark.parametrize("kind, kinds", [("mammograms", 1 + 4), ("digits", 2 + 2), ("films", 2 + 2)])
def test_every_model_has_a_report_by_label(kind, kinds):
    found = classification_report.tables_of(of(kind), KNOWN)
    assert len(found) == kinds
    frame = found[-1].frame
    assert (classification_report.PUBLISHED in frame) == (kind != "films")
    assert frame["Label"].iloc[-1] == ("Mean of the labels" if kind == "films" else "Mean, by positives")
    if kind == "mammograms":
        assert list(frame["Label"][:2]) == ["benign", "malignant"]
        assert frame[classification_report.PUBLISHED].iloc[1] == "1.00 / 0.04 / 0.07"  # Table 5
    if kind == "films":
        assert "Undefined: no positive image." in found[-1].caption
        assert (frame["Recall (sensitivity)"] == "undefined").sum() == 1


def test_the_section_opens_with_its_answer():
    evidence = study_page.Evidence(
        "mammography", "Does a map find the lesion?", classification=of("mammograms"), published=KNOWN
    )
    (section,) = [one for one in study_page.sections(evidence) if one.title == "Classification"]
    assert list(section.parts[0].sentences) == classification_report.answers(of("mammograms"))
    text = study_page.render(evidence)
    assert "predicts" in text and "0.65 (Table 2), 0.6925 (Section 4.1)" in text
    chest = study_page.Evidence("gaze", "Where?", classification=made_up_study.classification())
    assert "mean AUC over labels" in study_page.render(chest)
