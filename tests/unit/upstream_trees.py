"""Small trees in the formats of MIMIC-CXR-JPG and REFLACX, in plain pandas, for tests to read and break."""

from pathlib import Path

import pandas as pd

from sightline.datasets.mimic_cxr import LABELS

MIMIC = "physionet.org/files/mimic-cxr-jpg/2.1.0"
REFLACX = "physionet.org/files/reflacx-xray-localization/1.0.0"
MASKS = "physionet.org/files/chexmask-cxr-segmentation-data/1.0.0/OriginalResolution/MIMIC-CXR-JPG.csv"
HEIGHT, WIDTH = 40, 30
# subject, study, view, split, labels of the study (None: no row in chexpert)
FILMS = [
    (10000001, 50000001, "PA", "train", {"Edema": "1.0", "Fracture": "-1.0"}),
    (10000001, 50000001, "LATERAL", "train", {"Edema": "1.0", "Fracture": "-1.0"}),
    (10000002, 50000002, "AP", "train", {"No Finding": "1.0", "Edema": "0.0"}),
    (10000002, 50000003, "AP", "train", {}),
    (10000003, 50000004, "PA", "validate", {}),
    (10000003, 50000004, "AP", "validate", {}),  # two frontals in one study
    (10000004, 50000005, "", "train", {}),  # no view
    (10000005, 50000006, "PA", "train", None),  # not labelled
    (10000006, 50000007, "PA", "test", {"Pneumonia": "1.0"}),
    (10000007, 50000008, "LL", "validate", {}),
    (10000008, 50000009, "AP", "validate", {}),
]
FIXATION = {
    "timestamp_start_fixation": 1.0,
    "timestamp_end_fixation": 1.5,
    "x_position": 12,
    "y_position": 20,
    "pupil_area_normalized": 1.0,
    "angular_resolution_x_pixels_per_degree": 9,
    "angular_resolution_y_pixels_per_degree": 8,
    "window_width": 1.0,
    "window_level": 0.5,
    "xmin_shown_from_image": 0,
    "ymin_shown_from_image": 0,
    "xmax_shown_from_image": WIDTH,
    "ymax_shown_from_image": HEIGHT,
    "xmin_in_screen_coordinates": 661,
    "ymin_in_screen_coordinates": 0,
    "xmax_in_screen_coordinates": 3180,
    "ymax_in_screen_coordinates": 2160,
}


def dicom(number: int) -> str:
    return "-".join(f"{number * 16 + part:08x}" for part in range(5))


def write_mimic(root: Path) -> Path:
    """The three tables; image i has the id `dicom(i)`. The folder of the tables."""
    folder = root / MIMIC
    folder.mkdir(parents=True)
    about = pd.DataFrame(FILMS, columns=["subject_id", "study_id", "ViewPosition", "split", "labels"])
    about.insert(0, "dicom_id", [dicom(number) for number in range(len(about))])
    metadata = about[["dicom_id", "subject_id", "study_id", "ViewPosition"]].assign(
        Rows=HEIGHT, Columns=WIDTH
    )
    studies = about.drop_duplicates("study_id")
    chexpert = pd.DataFrame(
        [
            {
                "subject_id": row.subject_id,
                "study_id": row.study_id,
                **dict.fromkeys(sorted(LABELS), ""),
                **row.labels,
            }
            for row in studies.itertuples()
            if row.labels is not None
        ]
    )
    tables = {
        "metadata": metadata,
        "split": about[["dicom_id", "study_id", "subject_id", "split"]],
        "chexpert": chexpert,
    }
    for name, table in tables.items():
        table.to_csv(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", index=False)
    return folder


def write_reflacx(root: Path, readings: list[dict]) -> Path:
    """`main_data`, a reading per dict: phase, id, film; and discarded, labels, fixations, box, ellipses."""
    main = root / REFLACX / "main_data"
    main.mkdir(parents=True)
    names = {
        1: ["Atelectasis", "Other", "Quality issue", "Support devices"],
        2: ["Atelectasis", "Hiatal hernia", "Other", "Support devices"],
    }
    names[3] = names[2]
    flags = {"Quality issue", "Support devices"}
    for phase, labels in names.items():
        absent = {label: "" if label == "Other" else False if label in flags else 0 for label in labels}
        rows = [
            {
                "id": reading["id"],
                "split": "train",
                "eye_tracking_data_discarded": reading.get("discarded", False),
                "image": f"physionet.org/files/mimic-cxr/2.0.0/files/p10/{dicom(reading['film'])}.dcm",
                "dicom_id": dicom(reading["film"]),
                "subject_id": 10000000,
                "image_size_x": reading.get("width", WIDTH),
                "image_size_y": HEIGHT,
                **absent,
                **reading.get("labels", {}),
            }
            for reading in readings
            if reading["phase"] == phase
        ]
        columns = ["id", "split", "eye_tracking_data_discarded", "image", "dicom_id", "subject_id"]
        columns += ["image_size_x", "image_size_y", *labels]
        table = pd.DataFrame(rows, columns=columns)
        table.to_csv(main / f"metadata_phase_{phase}.csv", index=False, lineterminator="\r\n")
    for reading in readings:
        _write_reading(main / reading["id"], reading, names[reading["phase"]])
    return main


def _write_reading(folder: Path, reading: dict, labels: list[str]) -> None:
    folder.mkdir()
    sides = ["xmin", "ymin", "xmax", "ymax"]
    box = pd.DataFrame([reading.get("box", [-2, 3, 25, 38])], columns=sides)
    box.to_csv(folder / "chest_bounding_box.csv", index=False, lineterminator="\r\n")
    ellipses = [
        {**dict(zip(sides, ellipse["box"])), "certainty": ellipse["certainty"]}
        | {label: label in ellipse["labels"] for label in labels}
        for ellipse in reading.get("ellipses", [])
    ]
    table = pd.DataFrame(ellipses, columns=[*sides, "certainty", *labels])
    table.to_csv(folder / "anomaly_location_ellipses.csv", index=False, lineterminator="\r\n")
    if reading.get("discarded") and "fixations" not in reading:
        return
    rows = [FIXATION | changes for changes in reading.get("fixations", [{}, {}])]
    table = pd.DataFrame(rows, columns=list(FIXATION))
    table.to_csv(folder / "fixations.csv", index=False, lineterminator="\r\n")
