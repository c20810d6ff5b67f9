"""REFLACX's readings: who is evaluated, who leaves training, what is refused; the authors' rules by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.datasets import dataset
from sightline.errors import DatasetError
from tests.unit.upstream_trees import REFLACX, dicom, write_mimic, write_reflacx

SICK, DEVICE = {"Atelectasis": 1}, {"Support devices": True}


def five(film: int, trial: int, changes: dict[int, dict] | None = None) -> list[dict]:
    """Five readings of one film in phase 1; `changes` by reader."""
    return [
        {"phase": 1, "id": f"P1{trial:02}R00000{reader}", "film": film, **(changes or {}).get(reader, {})}
        for reader in range(5)
    ]


SINGLE = {"phase": 3, "id": "P300R000007", "film": 10}


def annotated(tmp_path: Path, readings: list[dict], **options) -> dataset.Dataset:
    write_mimic(tmp_path)
    write_reflacx(tmp_path, readings)
    return read(tmp_path, **options)


def read(root: Path, **options) -> dataset.Dataset:
    found = dataset.read("cxr", root, "mimic_cxr", {}, {"reflacx": options})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def test_evaluated_subjects_leave_training_and_the_authors_rule_leaks(tmp_path):
    found = annotated(tmp_path, [*five(0, 2), SINGLE]).images.set_index("image")
    assert found["evaluated"].to_dict() == {dicom(film): film in (0, 10) for film in (0, 2, 3, 8, 10)}
    assert found.loc[[dicom(0), dicom(10)], "split"].tolist() == ["test", "test"]
    assert found.loc[[dicom(0), dicom(10)], "upstream_split"].tolist() == ["train", "validate"]
    authors = read(tmp_path, move_subjects="phases_1_2").images.set_index("image")
    assert authors.loc[[dicom(0), dicom(10)], "split"].tolist() == ["test", "validate"]


def test_all_images_of_a_moved_subject_move(tmp_path):
    found = annotated(tmp_path, [{**SINGLE, "film": 2}]).images.set_index("image")
    assert found.loc[[dicom(2), dicom(3)], "split"].tolist() == ["test", "test"]
    assert found.loc[[dicom(2), dicom(3)], "evaluated"].tolist() == [True, False]


def test_an_evaluated_image_is_kept_whatever_the_filter_says(tmp_path):
    found = annotated(
        tmp_path, [{**SINGLE, "film": film, "id": f"P300R00000{film}"} for film in (1, 4, 6, 7)]
    )
    assert {dicom(film) for film in (1, 4, 6, 7)} <= set(found.images["image"])
    assert dicom(5) not in set(found.images["image"])
    unlabelled = found.labels[found.labels["image"] == dicom(7)]
    assert len(unlabelled) == 14 and unlabelled["value"].isna().all()


def test_readers_are_numbered_in_the_order_of_the_metadata_without_discarded_ones(tmp_path):
    found = annotated(tmp_path, five(0, 2, {1: {"discarded": True}}))
    readings = found.readings.sort_values("reader")
    assert readings["reading"].tolist() == [f"P102R00000{reader}" for reader in (0, 2, 3, 4)]
    assert readings["reader"].tolist() == ["0", "1", "2", "3"]
    assert set(readings["group"]) == {"phase 1"} and set(readings["fixations"]) == {2}
    assert set(found.boxes["reader"]) == {"0", "1", "2", "3"}
    assert found.skipped.empty


def test_fixations_of_a_discarded_reading_are_ignored_and_noted(tmp_path):
    found = annotated(tmp_path, five(0, 2, {1: {"discarded": True, "fixations": [{}]}}))
    assert len(found.readings) == 4 and len(found.fixations) == 8
    (row,) = found.skipped.to_dict("records")
    assert row["path"] == f"{REFLACX}/main_data/P102R000001/fixations.csv"
    for word in ("metadata_phase_1.csv: row 3", "discards this reading", "delete the file"):
        assert word in row["reason"]


def test_five_readers_asked_for_and_three_there(tmp_path):
    readings = [*five(0, 2), *five(2, 3, {1: {"discarded": True}, 4: {"discarded": True}})]
    found = annotated(tmp_path, readings, phases=[1], minimum_readers=5)
    assert found.images.set_index("image")["evaluated"][[dicom(0), dicom(2)]].tolist() == [True, False]
    assert (found.readings["image"] == dicom(2)).sum() == 3, "they still count for the center bias"
    flow = found.cohort[found.cohort["flow"] == "evaluation"]
    assert flow["images"].tolist() == [2, 2, 2, 1] and flow["subjects"].tolist() == [2, 2, 2, 1]
    assert "8 of 10 readings" in flow["filter"].iloc[2]


def test_no_image_with_enough_readers(tmp_path):
    with pytest.raises(DatasetError, match=r"no image has the 6 readers asked for, the most is 5; lower"):
        annotated(tmp_path, five(0, 2), minimum_readers=6)


@pytest.mark.parametrize(
    ("marks", "authors", "paper"),
    [
        ([SICK, SICK, SICK, {}, {}], "abnormal", "abnormal"),
        ([SICK, SICK, {}, {}, {}], "normal", "normal"),
        ([DEVICE, DEVICE, SICK, {}, {}], "abnormal", "normal"),
        ([{"Quality issue": True}] * 5, "normal", "normal"),
        ([{"Other": "azygos|scar"}] * 3 + [{}, {}], "abnormal", "abnormal"),
    ],
)
def test_strata_by_the_authors_rule_and_by_the_papers_words(tmp_path, marks, authors, paper):
    changes = {reader: {"labels": labels} for reader, labels in enumerate(marks)}
    strata = annotated(tmp_path, five(0, 2, changes)).strata.set_index("stratum")["value"]
    assert strata.to_dict() == {"abnormal_authors": authors, "abnormal_paper": paper}


def test_discarded_readings_still_vote(tmp_path):
    changes = {reader: {"labels": SICK, "discarded": reader < 2} for reader in range(3)}
    strata = annotated(tmp_path, five(0, 2, changes)).strata
    assert set(strata["value"]) == {"abnormal"}


@pytest.mark.parametrize(("marked", "value"), [(1, "normal"), (2, "abnormal")])
def test_fewer_readers_vote_by_majority(tmp_path, marked, value):
    readings = [
        {"phase": 2, "id": f"P201R00000{at}", "film": 0, "labels": SICK if at < marked else {}}
        for at in range(3)
    ]
    assert set(annotated(tmp_path, readings).strata["value"]) == {value}


@pytest.mark.parametrize("count", [0, 1])
def test_empty_and_single_fixation_readings_are_kept_with_their_count(tmp_path, count):
    found = annotated(tmp_path, [{**SINGLE, "fixations": [{}] * count}])
    assert found.readings["fixations"].tolist() == [count]
    assert len(found.fixations) == count and found.images["evaluated"].sum() == 1


def test_boxes_and_fixations_off_the_image_stay_as_they_are(tmp_path):
    found = annotated(tmp_path, [{**SINGLE, "box": [-9, 3, 999, 38], "fixations": [{"x_position": -50}]}])
    assert found.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy().tolist() == [[-9, 3, 999, 38]]
    assert found.fixations["x_position"].tolist() == [-50.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x_position": "nan"}, "missing, not a number or infinite"),
        ({"y_position": "inf"}, "missing, not a number or infinite"),
        ({"x_position": ""}, "missing, not a number or infinite"),
        ({"timestamp_end_fixation": 0.5}, "ends before it starts"),
        ({"angular_resolution_y_pixels_per_degree": 0}, "not positive"),
        ({"xmin_shown_from_image": 20, "xmax_shown_from_image": 10}, "no part of the image was shown"),
        ({"ymin_shown_from_image": 40, "ymax_shown_from_image": 60}, "no part of the image was shown"),
    ],
)
def test_a_bad_fixation_is_skipped_with_file_row_and_remedy(tmp_path, change, reason):
    found = annotated(tmp_path, [{**SINGLE, "fixations": [{}, change, {}]}])
    assert found.fixations["index"].tolist() == [0, 1] and found.readings["fixations"].tolist() == [2]
    (row,) = found.skipped.to_dict("records")
    assert (row["stage"], row["item"]) == ("reading", "P300R000007")
    for word in ("P300R000007/fixations.csv: row 3", reason, "correct or delete the row"):
        assert word in row["reason"]


@pytest.mark.parametrize(
    ("box", "reason"),
    [([20, 3, 10, 38], "inverted or empty"), (["nan", 3, 10, 38], "not a number or infinite")],
)
def test_a_bad_chest_box_is_refused(tmp_path, box, reason):
    found = annotated(tmp_path, five(0, 2, {2: {"box": box}}))
    assert found.boxes["reader"].tolist() == ["0", "1", "3", "4"]
    (row,) = found.skipped.to_dict("records")
    for word in ("P102R000002/chest_bounding_box.csv: row 2", reason, "correct or delete"):
        assert word in row["reason"]


def test_findings_are_one_row_per_ellipse_and_label(tmp_path):
    ellipses = [
        {"box": [1, 2, 11, 22], "certainty": 3, "labels": ["Atelectasis", "Hiatal hernia"]},
        {"box": [2, 2, 12, 22], "certainty": 5, "labels": ["Atelectasis"]},
        {"box": [3, 2, 13, 22], "certainty": 1, "labels": []},
    ]
    found = annotated(tmp_path, [{**SINGLE, "ellipses": ellipses}])
    findings = found.boxes[found.boxes["kind"] == "finding"].sort_values(["label", "index"])
    assert findings[["label", "index", "xmin", "certainty", "shape"]].to_numpy().tolist() == [
        ["", 0, 3.0, 1.0, "ellipse"],
        ["Atelectasis", 0, 1.0, 3.0, "ellipse"],
        ["Atelectasis", 1, 2.0, 5.0, "ellipse"],
        ["Hiatal hernia", 0, 1.0, 3.0, "ellipse"],
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"film": 99}, ["row 7", dicom(99), "no row in the dataset's tables", "if it was cut"]),
        ({"width": 31}, ["row 7", "31 x 40 here and 30 x 40 in the dataset's table", "matching releases"]),
    ],
)
def test_an_image_that_the_dataset_lacks_or_has_in_another_size(tmp_path, change, words):
    found = annotated(tmp_path, [*five(0, 2), {**SINGLE, "phase": 1, "id": "P103R000000", **change}])
    assert found.images["evaluated"].sum() == 1
    (row,) = found.skipped.to_dict("records")
    assert row["stage"] == "read" and row["path"].endswith("metadata_phase_1.csv")
    for word in words:
        assert word in row["reason"]


def test_a_missing_fixations_file(tmp_path):
    write_mimic(tmp_path)
    main = write_reflacx(tmp_path, five(0, 2))
    (main / "P102R000003" / "fixations.csv").unlink()
    found = read(tmp_path)
    assert len(found.readings) == 4
    (row,) = found.skipped.to_dict("records")
    for word in ("metadata_phase_1.csv: row 5", "fixations.csv is missing", "download it again"):
        assert word in row["reason"]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("id", "../P102R1", ["row 3", "id is '../P102R1'", "an id like"]),
        ("eye_tracking_data_discarded", "maybe", ["row 3", "'maybe'", "True or False"]),
        ("Atelectasis", "7", ["row 3", "Atelectasis is '7'", "0 to 5"]),
        ("image_size_x", "-3", ["row 3", "image_size_x", "number of pixels"]),
        ("dicom_id", None, ["row 1", "dicom_id", "rename or add"]),
    ],
)
def test_broken_metadata(tmp_path, column, value, words):
    write_mimic(tmp_path)
    path = write_reflacx(tmp_path, five(0, 2)) / "metadata_phase_1.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if value is None:
        table = table.drop(columns=column)
    else:
        table.loc[1, column] = value
    table.to_csv(path, index=False)
    with pytest.raises(DatasetError) as caught:
        read(tmp_path)
    for word in ["metadata_phase_1.csv", *words]:
        assert word in str(caught.value)


def test_broken_reading_files_are_named(tmp_path):
    write_mimic(tmp_path)
    path = write_reflacx(tmp_path, five(0, 2)) / "P102R000002" / "fixations.csv"
    path.write_text(path.read_text() + "1,2,3" + ",4" * 40 + "\n")
    with pytest.raises(DatasetError, match=r"P102R000002/fixations.csv: not a readable csv"):
        read(tmp_path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match=r"P102R000002/fixations.csv: row 1: lacks the column"):
        read(tmp_path)


def test_a_missing_phase(tmp_path):
    write_mimic(tmp_path)
    (write_reflacx(tmp_path, five(0, 2)) / "metadata_phase_2.csv").unlink()
    with pytest.raises(DatasetError, match=r"metadata_phase_2.csv: missing"):
        read(tmp_path)
    assert len(read(tmp_path, phases=[1]).readings) == 5


def test_the_authors_own_tree(golden):
    """Their synthetic tree: 25 readings of 5 films, one discarded; four films have five readers."""
    from sightline.datasets import reflacx

    rows = pd.concat(
        [pd.read_csv(golden / f"reflacx/main_data/metadata_phase_{phase}.csv") for phase in (1, 2)]
    )
    films = rows.drop_duplicates("dicom_id")
    images = pd.DataFrame(
        {
            "image": films["dicom_id"],
            "subject": films["subject_id"].astype(str),
            "study": None,
            "upstream_split": films["split"],
            "split": films["split"],
            "evaluated": False,
            "path": films["image"],
            "height": films["image_size_y"],
            "width": films["image_size_x"],
            "view": "PA",
            "spacing_y": np.nan,
            "spacing_x": np.nan,
        }
    )
    empty = dataset.Dataset.nothing("golden").adding(images=images)
    found = reflacx.annotate(golden / "reflacx", empty, folder="", phases=(1, 2), minimum_readers=5)
    assert len(found.readings) == 24 and found.images["evaluated"].sum() == 4
    kept = rows[~rows["eye_tracking_data_discarded"]]
    assert found.readings["reading"].tolist() == kept["id"].tolist()
    reading = kept["id"].iloc[7]
    plain = pd.read_csv(golden / f"reflacx/main_data/{reading}/fixations.csv")
    row = found.readings.iloc[7]
    mine = found.fixations[
        (found.fixations["image"] == row["image"]) & (found.fixations["reader"] == row["reader"])
    ]
    for column in [name for name in mine.columns if name in plain.columns]:
        np.testing.assert_array_equal(mine[column].to_numpy(), plain[column].to_numpy(float))
