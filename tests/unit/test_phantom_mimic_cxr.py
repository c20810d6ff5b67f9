"""The phantom's files, read with csv, gzip, json, Pillow and plain pandas, without our adapters."""

import csv
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from sightline import options
from sightline.errors import ConfigError, DatasetError
from sightline.phantom import mimic_cxr

SMALL = {
    "training": 40,
    "validation": 6,
    "test": 6,
    "phase_1": 3,
    "phase_2": 2,
    "phase_3": 12,
    "height": 192,
    "width": 160,
    "off_image": 0.05,
    "uncertain": 0.2,
}
DICOM = r"[0-9a-f]{8}(-[0-9a-f]{8}){4}"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "tree"
    mimic_cxr.write(folder, 3, **SMALL)
    return folder


@pytest.fixture(scope="module")
def mimic(root) -> Path:
    return root / "physionet.org/files/mimic-cxr-jpg/2.1.0"


@pytest.fixture(scope="module")
def reflacx(root) -> Path:
    return root / "physionet.org/files/reflacx-xray-localization/1.0.0/main_data"


@pytest.fixture(scope="module")
def metadata(mimic) -> pd.DataFrame:
    return pd.read_csv(mimic / "mimic-cxr-2.0.0-metadata.csv.gz", keep_default_na=False)


@pytest.fixture(scope="module")
def readings(reflacx) -> pd.DataFrame:
    frames = [pd.read_csv(reflacx / f"metadata_phase_{phase}.csv").assign(phase=phase) for phase in (1, 2, 3)]
    return pd.concat(frames, ignore_index=True)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- MIMIC-CXR-JPG


@pytest.mark.parametrize(
    ("table", "header"),
    [
        (
            "metadata",
            "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,"
            "StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
            "PatientOrientationCodeSequence_CodeMeaning",
        ),
        ("split", "dicom_id,study_id,subject_id,split"),
        *[
            (
                labeller,
                "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,"
                "Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
                "Pneumothorax,Support Devices",
            )
            for labeller in ("chexpert", "negbio")
        ],
    ],
)
def test_gzipped_tables_have_upstreams_columns(mimic, table, header):
    packed = (mimic / f"mimic-cxr-2.0.0-{table}.csv.gz").read_bytes()
    assert packed[4:8] == b"\0\0\0\0"  # no time
    assert packed[3] == 0  # no name
    text = gzip.decompress(packed)
    assert text.split(b"\n")[0].decode() == header
    assert b"\r" not in text
    assert text.endswith(b"\n")


def test_image_filenames_lists_the_files(mimic):
    listed = (mimic / "IMAGE_FILENAMES").read_text().splitlines()
    on_disk = sorted(str(path.relative_to(mimic)) for path in mimic.rglob("*.jpg"))
    assert sorted(listed) == on_disk
    for path in listed:
        assert re.fullmatch(rf"files/p1\d/p(1\d{{7}})/s5\d{{7}}/{DICOM}\.jpg", path)
        assert path.split("/")[2].startswith(path.split("/")[1])


def test_films_are_grey_jpegs_of_quality_95_and_of_their_tables_size(mimic, metadata, tmp_path):
    Image.new("L", (16, 16)).save(tmp_path / "reference.jpg", quality=95)
    quantization = Image.open(tmp_path / "reference.jpg").quantization[0]
    sizes = set()
    for row in metadata.itertuples():
        subject = str(row.subject_id)
        path = mimic / f"files/p{subject[:2]}/p{subject}/s{row.study_id}/{row.dicom_id}.jpg"
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (row.Columns, row.Rows))
            assert image.quantization[0] == quantization
            pixels = np.asarray(image)
        assert abs(pixels.mean() - 127) < 16  # histogram equalised
        assert 55 < pixels.std() < 90
        sizes.add(row.Rows / row.Columns)
    assert len(sizes) > 20  # the aspect varies


def test_metadata_rows(metadata):
    assert metadata["dicom_id"].str.fullmatch(DICOM).all()
    assert metadata["dicom_id"].is_unique
    assert metadata["subject_id"].between(10_000_000, 19_999_999).all()
    assert metadata["study_id"].between(50_000_000, 59_999_999).all()
    assert set(metadata["ViewPosition"]) >= {"PA", "AP", ""}
    assert set(metadata["ViewPosition"]) & {"LATERAL", "LL"}
    assert (
        pd.to_datetime(metadata["StudyDate"].astype(str), format="%Y%m%d").dt.year.between(2110, 2200).all()
    )
    assert metadata["StudyTime"].between(0, 235959.999).all()
    assert metadata.groupby("study_id")["subject_id"].nunique().max() == 1


def test_labels_split_and_traps(mimic, metadata, readings):
    expert = pd.read_csv(mimic / "mimic-cxr-2.0.0-chexpert.csv.gz")
    split = pd.read_csv(mimic / "mimic-cxr-2.0.0-split.csv.gz")
    assert expert["study_id"].is_unique
    cells = expert.drop(columns=["subject_id", "study_id"])
    assert set(np.unique(cells.fillna(9))) == {-1.0, 0.0, 1.0, 9.0}
    assert set(split["split"]) == {"train", "validate", "test"}
    assert split.groupby("subject_id")["split"].nunique().max() == 1
    assert sorted(split["dicom_id"]) == sorted(metadata["dicom_id"])
    # the filter that makes the training list: labels, frontal, the only frontal of its study
    frame = metadata.merge(split[["dicom_id", "split"]], on="dicom_id")
    assert set(frame["study_id"]) - set(expert["study_id"])
    usable = frame[frame["study_id"].isin(expert["study_id"]) & frame["ViewPosition"].isin(["PA", "AP"])]
    alone = usable.groupby("study_id")["dicom_id"].transform("size") == 1
    assert (~alone).any()
    usable = usable[alone]
    read = usable["dicom_id"].isin(readings["dicom_id"])
    assert read.sum() == 3 + 2 + 12
    assert usable[~read].groupby("split").size().to_dict() == {"train": 40, "validate": 6, "test": 6}


def test_subjects_of_readings_are_in_training_too(metadata, readings, mimic):
    split = pd.read_csv(mimic / "mimic-cxr-2.0.0-split.csv.gz")
    train = split[(split["split"] == "train") & ~split["dicom_id"].isin(readings["dicom_id"])]
    shared = readings[readings["subject_id"].isin(train["subject_id"])]
    assert set(shared["phase"]) == {1, 2, 3}
    assert shared["subject_id"].nunique() == 3
    assert set(shared["split"]) == {"train"}


# ---- CheXmask


def decode(text: str, height: int, width: int) -> np.ndarray:
    numbers = [int(number) for number in text.split()]
    mask = np.zeros(height * width, bool)
    for start, length in zip(numbers[::2], numbers[1::2]):
        assert length > 0
        mask[start - 1 : start - 1 + length] = True
    return mask.reshape(height, width)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_masks_are_the_lungs(root, mimic, metadata):
    path = (
        root / "physionet.org/files/chexmask-cxr-segmentation-data/1.0.0/OriginalResolution/MIMIC-CXR-JPG.csv"
    )
    masks = pd.read_csv(path)
    assert list(masks) == [
        *("dicom_id", "Dice RCA (Max)", "Dice RCA (Mean)", "Landmarks", "Left Lung", "Right Lung", "Heart"),
        *("Height", "Width"),
    ]
    frontal = metadata[metadata["ViewPosition"].isin(["PA", "AP"])]
    assert sorted(masks["dicom_id"]) == sorted(frontal["dicom_id"])
    poor = masks["Dice RCA (Mean)"] < 0.7
    assert 1 <= poor.sum() <= 3
    assert (masks["Dice RCA (Max)"] > masks["Dice RCA (Mean)"]).all()
    for row in masks[~poor].merge(frontal, on="dicom_id").to_dict("records"):
        size = row["Height"], row["Width"]
        assert size == (row["Rows"], row["Columns"])
        points = np.array(row["Landmarks"].split(","), int).reshape(120, 2)
        parts = {"Right Lung": points[:44], "Left Lung": points[44:94], "Heart": points[94:]}
        decoded = {organ: decode(row[organ], *size) for organ in parts}
        for organ, polygon in parts.items():
            drawn = Image.new("1", size[::-1])
            ImageDraw.Draw(drawn).polygon([tuple(point) for point in polygon.tolist()], fill=1, outline=1)
            assert overlap(decoded[organ], np.asarray(drawn)) > 0.9
        columns = np.arange(size[1])
        middle = {organ: (mask * columns).sum() / mask.sum() for organ, mask in decoded.items()}
        assert middle["Right Lung"] < middle["Heart"] < middle["Left Lung"]  # the subject faces us
        subject = str(row["subject_id"])
        film = mimic / f"files/p{subject[:2]}/p{subject}/s{row['study_id']}/{row['dicom_id']}.jpg"
        pixels = np.asarray(Image.open(film)).astype(float)
        lungs = decoded["Right Lung"] | decoded["Left Lung"]
        assert 0.12 < lungs.mean() < 0.45
        assert pixels[decoded["Heart"]].mean() - pixels[lungs].mean() > 70
        assert np.median(pixels[lungs]) < 110


# ---- REFLACX

BEFORE_LABELS = [
    *("id", "split", "eye_tracking_data_discarded", "image", "dicom_id", "subject_id"),
    *("image_size_x", "image_size_y"),
]
PHASE_3 = [
    *("Abnormal mediastinal contour", "Acute fracture", "Atelectasis", "Consolidation"),
    *("Enlarged cardiac silhouette", "Enlarged hilum", "Groundglass opacity", "Hiatal hernia"),
    *("High lung volume / emphysema", "Interstitial lung disease", "Lung nodule or mass", "Other"),
    *("Pleural abnormality", "Pneumothorax", "Pulmonary edema", "Support devices"),
]


def test_every_csv_has_crlf_only(reflacx):
    files = list(reflacx.rglob("*.csv"))
    assert len(files) > 100
    for path in files:
        content = path.read_bytes()
        assert content.endswith(b"\r\n")
        assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")


def test_headers_are_those_of_the_authors_files(reflacx, golden, readings):
    theirs = golden / "reflacx/main_data"
    for name in ("metadata_phase_1.csv", "metadata_phase_2.csv"):
        ours_header = (reflacx / name).open().readline().strip()
        assert ours_header == (theirs / name).open().readline().strip()
    ours = reflacx / readings[~readings["eye_tracking_data_discarded"]]["id"].iloc[0]
    example = theirs / "P102R959691"
    for name in ("fixations.csv", "chest_bounding_box.csv"):
        assert (ours / name).open().readline().strip() == (example / name).open().readline().strip()


def test_metadata_of_phases(reflacx, readings, metadata):
    for phase in (1, 2, 3):
        frame = pd.read_csv(reflacx / f"metadata_phase_{phase}.csv", keep_default_na=False, dtype=str)
        assert list(frame)[:8] == BEFORE_LABELS
        labels = list(frame)[8:]
        assert labels == sorted(labels)
        assert labels == PHASE_3 or phase == 1
        for label in labels:
            values = set(frame[label])
            if label in ("Support devices", "Quality issue"):
                assert values <= {"True", "False"}
            elif label != "Other":
                assert values <= set("012345")
        pattern = r"P300R\d{6}" if phase == 3 else rf"P{phase}\d\dR\d{{6}}"
        assert frame["id"].str.fullmatch(pattern).all()
        by = "image" if phase == 3 else "id"
        assert list(frame[by]) == sorted(frame[by])
        assert set(frame.groupby("dicom_id").size()) == ({1} if phase == 3 else {5})
        if phase < 3:  # a trial is an image
            assert frame.groupby(frame["id"].str[2:4])["dicom_id"].nunique().max() == 1
    rows = readings.merge(metadata, on="dicom_id")
    assert len(rows) == len(readings) == 3 * 5 + 2 * 5 + 12
    assert (rows["image_size_x"] == rows["Columns"]).all()
    assert (rows["image_size_y"] == rows["Rows"]).all()
    expected = [
        f"physionet.org/files/mimic-cxr/2.0.0/files/p{str(row.subject_id_y)[:2]}/p{row.subject_id_y}/s{row.study_id}/"
        f"{row.dicom_id}.dcm"
        for row in rows.itertuples()
    ]
    assert list(rows["image"]) == expected


def test_files_of_readings(reflacx, readings):
    discarded = readings["eye_tracking_data_discarded"]
    assert discarded.sum() == 1
    assert (readings[discarded]["phase"] < 3).all()
    assert sorted(path.name for path in reflacx.iterdir() if path.is_dir()) == sorted(readings["id"])
    always = {"anomaly_location_ellipses.csv", "chest_bounding_box.csv"}
    with_gaze = always | {"fixations.csv", "timestamps_transcription.csv", "transcription.txt"}
    for row in readings.to_dict("records"):
        folder = reflacx / row["id"]
        expected = always if row["eye_tracking_data_discarded"] else with_gaze
        assert {path.name for path in folder.iterdir()} == expected
        labels = sorted(set(readings) & set(_header(reflacx, row["phase"])[8:]))
        with (folder / "anomaly_location_ellipses.csv").open(newline="") as file:
            ellipses = list(csv.reader(file))
        assert ellipses[0] == ["xmin", "ymin", "xmax", "ymax", "certainty", *labels]
        for ellipse in ellipses[1:]:
            named = [label for label, value in zip(labels, ellipse[5:]) if value == "True"]
            assert len(named) == 1
            assert int(ellipse[4]) == row[named[0]] > 0
            assert int(ellipse[0]) < int(ellipse[2])
            assert int(ellipse[1]) < int(ellipse[3])
        if not row["eye_tracking_data_discarded"]:
            words = pd.read_csv(folder / "timestamps_transcription.csv")
            assert list(words) == ["word", "timestamp_start_word", "timestamp_end_word"]
            text = (folder / "transcription.txt").read_bytes().decode()
            assert not text.endswith("\n")
            assert text.replace(".", " .") == " ".join(words["word"])
            assert (words["timestamp_end_word"] >= words["timestamp_start_word"]).all()


def _header(reflacx: Path, phase: int) -> list[str]:
    return (reflacx / f"metadata_phase_{phase}.csv").open().readline().strip().split(",")


def test_fixations_obey_the_viewer(reflacx, readings):
    off_image, zoomed = 0, 0
    for row in readings[~readings["eye_tracking_data_discarded"]].itertuples():
        text = (reflacx / row.id / "fixations.csv").read_text()
        frame = pd.read_csv(reflacx / row.id / "fixations.csv")
        start, end = frame["timestamp_start_fixation"], frame["timestamp_end_fixation"]
        assert (end > start).all()
        assert (start.to_numpy()[1:] > end.to_numpy()[:-1]).all()
        assert (end - start).between(0.07, 1.61).all()
        whole = [column for column in frame if not re.match("time|pupil|window", column)]
        assert all(frame[column].dtype == np.int64 for column in whole)
        assert not re.search(r"\.\d{6}", text)
        width, height = row.image_size_x, row.image_size_y
        left, top, right, bottom = (
            frame[f"{name}_shown_from_image"] for name in ("xmin", "ymin", "xmax", "ymax")
        )
        assert (left.ge(0) & top.ge(0) & right.le(width) & bottom.le(height)).all()
        assert (left.lt(right) & top.lt(bottom)).all()
        x, y = frame["x_position"], frame["y_position"]
        on_image = x.between(0, width - 1) & y.between(0, height - 1)
        shown = x.between(left - 1, right + 1) & y.between(top - 1, bottom + 1)
        assert shown[on_image].all()
        off_image += (~on_image).sum()
        zoomed += (bottom - top < 0.8 * height).sum()
        # pixels per degree on the image = the screen's 94, times image pixels per screen pixel
        on_screen = frame["ymax_in_screen_coordinates"] - frame["ymin_in_screen_coordinates"]
        expected = 94 * (bottom - top) / on_screen
        for axis in ("x", "y"):
            found = frame[f"angular_resolution_{axis}_pixels_per_degree"]
            assert ((found - expected).abs() <= 0.5 + 0.05 * expected).all()
        assert frame["xmin_in_screen_coordinates"].ge(660).all()
        assert frame["xmax_in_screen_coordinates"].le(3840).all()
    assert off_image > 30
    assert zoomed > 200


def test_chest_boxes_of_readers_differ_a_little(reflacx, readings):
    boxes = np.array(
        [pd.read_csv(reflacx / name / "chest_bounding_box.csv").iloc[0] for name in readings["id"]]
    )
    frame = pd.DataFrame(boxes, index=readings["dicom_id"])
    spread = frame.groupby(level=0).std().dropna()
    assert (spread.mean(axis=1) > 0).all()
    assert spread.to_numpy().max() < 0.08 * 160
    size = readings[["image_size_x", "image_size_y"]].to_numpy()
    assert (
        ((boxes[:, 2:] - boxes[:, :2]) / size > 0.5) & ((boxes[:, 2:] - boxes[:, :2]) / size < 0.95)
    ).all()


# ---- the writer


def test_equal_seed_equal_bytes_and_another_seed_differs(root, tmp_path):
    few = {**SMALL, "training": 4, "validation": 0, "test": 1, "phase_1": 1, "phase_2": 0, "phase_3": 2}
    for name, seed in {"first": 3, "again": 3, "other": 4}.items():
        mimic_cxr.write(tmp_path / name, seed, **few)
    first = digest(tmp_path / "first")
    assert digest(tmp_path / "again") == first
    assert set(first.values()).isdisjoint(
        value for path, value in digest(tmp_path / "other").items() if path.endswith((".jpg", ".gz"))
    )
    # its own folder is cleared, whatever was in it
    mimic_cxr.write(tmp_path / "other", 3, **few)
    assert digest(tmp_path / "other") == first
    record = json.loads((tmp_path / "first/phantom.json").read_text())
    assert record["seed"] == 3
    assert record["options"]["training"] == 4
    assert record["options"]["dwell"] == mimic_cxr.OPTIONS["dwell"]["default"]


@pytest.mark.parametrize("marker", [None, "not json", '{"writer": "somebody"}'])
def test_a_folder_of_others_is_left_alone(tmp_path, marker):
    (tmp_path / "physionet.org").mkdir()
    (tmp_path / "physionet.org/mine.txt").write_text("keep")
    if marker is not None:
        (tmp_path / "phantom.json").write_text(marker)
    before = digest(tmp_path)
    with pytest.raises(DatasetError, match="did not write"):
        mimic_cxr.write(tmp_path, 0, training=1)
    assert digest(tmp_path) == before


def test_foreign_files_beside_the_marker_are_left_alone(tmp_path):
    folder = tmp_path / "tree"
    nothing = dict.fromkeys(["training", "validation", "test", "phase_1", "phase_2", "phase_3"], 0)
    mimic_cxr.write(folder, 0, **nothing)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="notes.txt"):
        mimic_cxr.write(folder, 0, **nothing)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file"):
        mimic_cxr.write(tmp_path / "file", 0, **nothing)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trainings": 3}, "trainings"),
        ({"findings": ["Lung Opacty"]}, "findings: unknown label 'Lung Opacty'"),
        ({"prevalence": {"No Finding": 0.5}}, "prevalence: unknown label"),
        ({"shortcut": {"label": "Edemas"}}, "shortcut.label: unknown label"),
        ({"findings": ["Edema"], "shortcut": {"label": "Pneumonia"}}, "never planted"),
    ],
)
def test_options_that_make_no_sense(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        mimic_cxr.write(tmp_path / "tree", 0, **given)
    assert not (tmp_path / "tree").exists()


def test_options_are_literal_and_described():
    stated = options.read("sightline.phantom.mimic_cxr")["OPTIONS"]
    assert stated == mimic_cxr.OPTIONS
    assert all({"type", "default", "description"} <= set(option) for option in stated.values())
