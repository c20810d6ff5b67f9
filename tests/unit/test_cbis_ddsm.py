"""CBIS-DDSM: the real tables whole, small trees in every layout, and each of the format's traps."""

import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline import regions, tables
from sightline.datasets import cbis_ddsm, cbis_ddsm_cohort, cbis_ddsm_tables, dataset, leaks, shares
from sightline.datasets.cbis_ddsm_files import mask_among
from sightline.datasets.picture_headers import Header
from sightline.errors import DatasetError
from tests.unit import dicom_files

SHAPE = (60, 40)
CROP = (12, 10)
PATHS = ["image file path", "cropped image file path", "ROI mask file path"]
PREFIX = "1.3.6.1.4.1.9590.100.1.2."


def uid(name: str) -> str:
    """A UID of the collection's root that follows from a name."""
    return PREFIX + str(int.from_bytes(name.encode(), "big"))[-30:].lstrip("0")


def abnormality(
    kind: str, split: str, patient: str, side: str, view: str, number: int = 1, **changes
) -> dict:
    """A row of a case description, as the tables have it, before it is quoted."""
    prefix = {"mass": "Mass", "calcification": "Calc"}[kind] + {"train": "-Training_", "test": "-Test_"}[
        split
    ]
    image = f"{prefix}{patient}_{side}_{view}"
    roi = f"{image}_{number}"
    full = f"{image}/{uid('study ' + image)}/{uid('series ' + image)}/000000.dcm"
    pair = f"{roi}/{uid('study ' + roi)}/{uid('series ' + roi)}"
    first, second = ("000000", "000001") if kind == "mass" else ("000001", "000000")
    own = (
        {"mass shape": "OVAL", "mass margins": "CIRCUMSCRIBED"}
        if kind == "mass"
        else {"calc type": "PUNCTATE", "calc distribution": "N/A"}
    )
    row = {
        "patient_id": patient,
        "breast_density" if kind == "mass" else "breast density": "3",
        "left or right breast": side,
        "image view": view,
        "abnormality id": str(number),
        "abnormality type": kind,
        **own,
        "assessment": "4",
        "pathology": "BENIGN",
        "subtlety": "4",
        PATHS[0]: full,
        PATHS[1]: f"{pair}/{first}.dcm",
        PATHS[2]: f"{pair}/{second}.dcm",
    }
    return row | changes


def separated(row: dict) -> dict:
    """The row with its crop in a study and series of its own."""
    roi = row[PATHS[2]].split("/")[0]
    return row | {PATHS[1]: f"{roi}/{uid('crop study ' + roi)}/{uid('crop series ' + roi)}/000000.dcm"}


ROWS = [
    abnormality("mass", "train", "P_00001", "LEFT", "CC", pathology="MALIGNANT", assessment="5"),
    abnormality("mass", "train", "P_00001", "LEFT", "MLO", **{"mass margins": "", "subtlety": "0"}),
    abnormality("calcification", "train", "P_00002", "RIGHT", "CC", assessment="3", subtlety="1"),
    abnormality("calcification", "train", "P_00002", "RIGHT", "CC", 2, pathology="MALIGNANT"),
    abnormality("calcification", "train", "P_00003", "LEFT", "CC", pathology="MALIGNANT"),
    separated(abnormality("mass", "test", "P_00003", "LEFT", "CC", pathology="BENIGN_WITHOUT_CALLBACK")),
    abnormality(
        "calcification", "test", "P_00004", "RIGHT", "MLO", **{"breast density": "0", "assessment": "0"}
    ),
    abnormality("calcification", "test", "P_00004", "RIGHT", "MLO", 2, **{"breast density": "0"}),
]
IMAGES = [
    "Calc-Test_P_00004_RIGHT_MLO",
    "Calc-Training_P_00002_RIGHT_CC",
    "Mass-Test_P_00003_LEFT_CC",
    "Mass-Training_P_00001_LEFT_CC",
    "Mass-Training_P_00001_LEFT_MLO",
]


def write_tables(folder: Path, rows: list[dict] = ROWS, name: str = "{}_case_description_{}_set.csv") -> None:
    """The four tables byte for byte as downloaded: CRLF, and a bare line feed inside a quoted path."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, short, at in (("mass", "mass", PATHS[2]), ("calcification", "calc", PATHS[1])):
        for split, word in (("train", "-Training_"), ("test", "-Test_")):
            mine = [row for row in rows if row[PATHS[0]].startswith(short.title() + word)]
            text = io.StringIO()
            writer = csv.DictWriter(
                text, list(abnormality(kind, split, "P_0", "LEFT", "CC")), lineterminator="\r\n"
            )
            writer.writeheader()
            writer.writerows(row | {at: row[at] + "\n"} for row in mine)
            (folder / name.format(short, split)).write_bytes(text.getvalue().encode())


def lesion(roi: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """The lesion of an abnormality, bool, at another place for each."""
    at = sum(roi.encode()) % 20
    found = np.zeros(SHAPE, dtype=bool)
    found[at + 5 : at + 20, at : at + 12] = True
    rows, columns = (np.arange(new) * old // new for old, new in zip(SHAPE, shape))
    return found[np.ix_(rows, columns)]


def pixels_of(patient: str, role: str) -> np.ndarray:
    """The pixels of a film, a mask or a crop."""
    generator = np.random.default_rng(sum(patient.encode()))
    if role == "mask":
        return lesion(patient).astype(np.uint8) * 255
    return generator.integers(0, 60000, SHAPE if role == "full" else CROP, dtype=np.uint16)


DESCRIPTIONS = {"full": "full mammogram images", "mask": "ROI mask images", "crop": "cropped images"}


def series_of(rows: list[dict] = ROWS) -> dict[tuple[str, str, str], list[str]]:
    """(patient, study, series) -> the roles of its files, in the order of their names."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for at, row in enumerate(rows):
        places = {
            role: tuple(row[path].split("/")[:3]) for role, path in zip(("full", "crop", "mask"), PATHS)
        }
        found[places["full"]] = ["full"]
        # on the disk, crop and mask have any order
        for role in ("mask", "crop") if at % 2 else ("crop", "mask"):
            if role not in found.setdefault(places[role], []):
                found[places[role]].append(role)
    return found


def folder_in(layout: str, patient: str, study: str, series: str, role: str) -> Path:
    """Where a download leaves a series."""
    if layout in ("series", "jpeg"):
        return Path("jpeg" if layout == "jpeg" else "", series)
    if layout == "nested":
        return Path(patient, study, series)
    middle = "DDSM-NA" if layout == "retriever" else "DDSM"  # sometimes without
    described = "full mammogram images" if role == "full" else "ROI mask images"
    return Path(
        "manifest-1600709154662", "CBIS-DDSM", patient,
        f"07-20-2016-{middle}-{study[-5:]}", f"1.000000-{described}-{series[-5:]}",
    )  # fmt: skip


def write_file(path: Path, patient: str, series: str, role: str, **elements) -> None:
    """A picture of a series, DICOM or JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = elements.pop("pixels", pixels_of(patient, role))
    if path.suffix == ".jpg":
        grey = values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)
        Image.fromarray(grey).save(path, quality=95)
        return
    plain = {
        "SeriesInstanceUID": series,
        "SOPInstanceUID": f"{series[:60]}.{('full', 'mask', 'crop').index(role) + 1}",
        "PatientID": patient,
        "SeriesDescription": "full mammogram images" if role == "full" else "ROI mask images",
    }
    path.write_bytes(dicom_files.content(values, **(plain | elements)))


def write_tree(
    root: Path, layout: str = "series", rows: list[dict] = ROWS, descriptions: bool = True
) -> None:
    """Tables and files of a layout; where crop and mask are apart, SeriesDescription tells which is which."""
    write_tables(root / ("csv" if layout == "jpeg" else ""), rows)
    write_files(root, layout, rows)


def write_files(root: Path, layout: str, rows: list[dict]) -> None:
    """The files of rows; where crop and mask are apart, SeriesDescription tells which is which."""
    for (patient, study, series), roles in series_of(rows).items():
        for number, role in enumerate(roles, 1):
            name = f"{number}-a1b2.jpg" if layout == "jpeg" else f"1-{number}.dcm"
            path = root / folder_in(layout, patient, study, series, role) / name
            elements = {"SeriesDescription": DESCRIPTIONS[role]} if len(roles) == 1 else {}
            write_file(path, patient, series, role, **elements)
            (path.parent / "LICENSE").write_text("CC BY 3.0")
            (path.parent / "._1-1.dcm").write_bytes(b"a file system's note")


def read(root: Path, **options) -> dataset.Dataset:
    found = dataset.read("breasts", root, "cbis_ddsm", options, {})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A tree that tests only read."""
    root = tmp_path_factory.mktemp("cbis_ddsm")
    write_tree(root)
    return root


@pytest.fixture(scope="module")
def plain(whole) -> dataset.Dataset:
    """The dataset of that tree without any option."""
    return read(whole)


@pytest.fixture
def tree(whole, tmp_path) -> Path:
    """A tree that a test may break."""
    return shutil.copytree(whole, tmp_path / "tree")


def roi_folder(root: Path, row: dict) -> Path:
    return root / row[PATHS[2]].split("/")[2]


def mask_of(found: dataset.Dataset, image: str, root: Path, index: int = 0) -> np.ndarray:
    rows = found.masks.set_index(["image", "index"]).loc[(image, index)]
    return regions.read_mask(rows["encoding"], rows["data"], (rows["height"], rows["width"]), root)


# ---- the real tables


@pytest.fixture(scope="module")
def real_tables(real) -> Path:
    return real / "cbis_ddsm_tables"


@pytest.fixture(scope="module")
def real_rows(real_tables) -> pd.DataFrame:
    return cbis_ddsm_tables.abnormalities(real_tables)


def test_the_real_tables_whole(real_rows):
    images = cbis_ddsm_tables.images(real_rows)
    assert len(real_rows) == 3568 and real_rows["kind"].value_counts().to_dict() == {
        "calcification": 1872,
        "mass": 1696,
    }
    assert len(images) == images["image"].nunique() == images["series"].nunique() == 3103
    assert images["subject"].nunique() == 1566
    assert len(cbis_ddsm_tables.across_splits(real_rows)) == 31
    counts = images.groupby(["kind", "upstream_split"]).agg({"image": "size", "subject": "nunique"})
    assert counts.loc[("mass", "train")].tolist() == [1231, 691]
    assert counts.loc[("mass", "test")].tolist() == [361, 201]
    assert counts.loc[("calcification", "train")].tolist() == [1227, 602]
    assert counts.loc[("calcification", "test")].tolist() == [284, 151]
    assert (images["abnormalities"] > 1).sum() == 293 and images["abnormalities"].max() == 7
    assert images["mixed"].sum() == 17
    assert (real_rows["density"] == 0).sum() == (real_rows["subtlety"] == 0).sum() == 2
    for kind in cbis_ddsm_tables.KINDS:  # no cell of either kind is left without a word
        for name in cbis_ddsm_tables.DESCRIPTORS[kind]:
            assert (real_rows[name] != "").sum() == (real_rows["kind"] == kind).sum()
    unknown = {
        name: (real_rows[name] == "unknown").sum() for name in sum(cbis_ddsm_tables.DESCRIPTORS.values(), [])
    }
    assert unknown == {"mass shape": 4, "mass margins": 60, "calc type": 24, "calc distribution": 439}


def test_the_real_series_are_those_of_the_manifest(real_tables, real_rows):
    lines = next(real_tables.glob("*.tcia")).read_text().split()
    manifest = set(lines[lines.index("ListOfSeriesToDownload=") + 1 :])
    named = {*real_rows["image_series"], *real_rows["crop_series"], *real_rows["mask_series"]}
    assert named == manifest and len(manifest) == 6775
    assert (real_rows["crop_series"] != real_rows["mask_series"]).sum() == 104
    assert (
        real_rows["mask_patient"] == real_rows["image_patient"] + "_" + real_rows["abnormality"].astype(str)
    ).all()


def test_the_real_tables_against_plain_pandas(real_tables, real_rows):
    for (kind, split), path in cbis_ddsm_tables.files(real_tables).items():
        plain = pd.read_csv(path)
        mine = real_rows[(real_rows["kind"] == kind) & (real_rows["upstream_split"] == split)]
        assert plain["pathology"].tolist() == mine["pathology"].tolist()
        assert plain["assessment"].tolist() == mine["assessment"].tolist()
        expected = plain["ROI mask file path"].str.strip().str.split("/").str[2]
        assert expected.tolist() == mine["mask_series"].tolist()


def test_the_real_splits_leave_no_patient_on_both_sides(real_rows):
    found, steps = cbis_ddsm_cohort.chosen(real_rows, "image", "pathology", "malignant", "benign")
    table, crossing = steps[-1][1], cbis_ddsm_tables.across_splits(real_rows)
    sizes = {}
    for leak in ("left_out", "test", "kept"):
        split = cbis_ddsm_cohort.splits(table, crossing, leak)
        sizes[leak] = split.value_counts().to_dict()
        shared = set(table["subject"][split == "train"]) & set(table["subject"][split == "test"])
        assert len(shared) == (31 if leak == "kept" else 0)
    assert sizes == {
        "left_out": {"train": 2394, "test": 645, "": 64},
        "test": {"train": 2394, "test": 709},
        "kept": {"train": 2458, "test": 645},
    }
    chosen = cbis_ddsm_cohort.validating(table.assign(split=split), 0.2)
    train = table[table["upstream_split"] == "train"]
    malignant = train.groupby("subject")["malignant"].any()
    assert len(chosen) == round(0.2 * malignant.sum()) + round(0.2 * (~malignant).sum())
    assert chosen & set(malignant.index[malignant]) == shares.first(malignant.index[malignant], 0.2)


@pytest.mark.parametrize(
    ("options", "images", "patients"),
    [
        ({}, 3103, 1566),
        ({"mixed": "excluded"}, 3103 - 51, None),
        ({"mixed": "excluded", "target": "assessment"}, 3103 - 24, None),
        ({"without_callback": "excluded"}, 2509, None),
        ({"unit": "abnormality"}, 3568, 1566),
        ({"unit": "abnormality", "without_callback": "excluded"}, 3568 - 682, None),
    ],
)
def test_the_real_cohort(real_rows, options, images, patients):
    plain = {"unit": "image", "target": "pathology", "mixed": "malignant", "without_callback": "benign"}
    _, steps = cbis_ddsm_cohort.chosen(real_rows, **(plain | options))
    if options == {"without_callback": "excluded"}:
        images = real_rows[real_rows["pathology"] != "BENIGN_WITHOUT_CALLBACK"]["image_patient"].nunique()
    assert len(steps[-1][1]) == images
    assert patients is None or steps[-1][1]["subject"].nunique() == patients


def test_the_real_tables_without_a_file(real_tables):
    with pytest.raises(DatasetError, match="no image is left"):
        read(real_tables, partial=True)
    found = read(real_tables)
    assert found.images.empty and len(found.skipped) == 3039
    row = found.skipped.set_index("item").loc["Mass-Test_P_00016_LEFT_CC"]
    assert "245063149211255120613007755642780114172/*.dcm: missing" in row["reason"]
    assert row["stage"] == "read" and "download the series again" in row["reason"]
    flow = found.cohort[found.cohort["flow"].str.startswith("patients in train")]
    assert flow[["images", "subjects"]].to_numpy().tolist() == [[114, 31], [64, 31]]


@pytest.mark.parametrize("layout", ["series", "retriever"])
def test_a_part_of_the_real_collection(real_tables, tmp_path, layout):
    """Files that carry the real UIDs, beside the real tables whole."""
    rows = []
    for kind, at in (("mass", [0, 15]), ("calc", [7, 40])):
        for split in ("train", "test"):
            name = f"{kind}_case_description_{split}_set.csv"
            shutil.copyfile(real_tables / name, tmp_path / name)
            found = pd.read_csv(tmp_path / name, dtype=str).map(str.strip, na_action="ignore")
            apart = found[PATHS[1]].str.split("/").str[2] != found[PATHS[2]].str.split("/").str[2]
            wanted = found[PATHS[0]].isin(found[PATHS[0]].iloc[[*at, *np.flatnonzero(apart)[:1]]])
            rows += found[wanted].to_dict("records")
    write_files(tmp_path, layout, rows)
    found = read(tmp_path, partial=True, leak="kept")
    assert found.skipped.empty and len(found.masks) == len(rows) >= 11
    assert set(found.images["image"]) == {row[PATHS[0]].split("/")[0] for row in rows}
    for row in found.masks.itertuples():
        names = sorted(row_[PATHS[2]].split("/")[0] for row_ in rows if row_[PATHS[0]].startswith(row.image))
        np.testing.assert_array_equal(
            mask_of(found, row.image, tmp_path, row.index), lesion(names[row.index])
        )


# ---- layouts


@pytest.mark.parametrize("layout", ["series", "nested", "retriever", "retriever without NA", "jpeg"])
def test_each_layout_gives_the_same_dataset(tmp_path, layout):
    write_tree(tmp_path, layout)
    found = read(tmp_path)
    assert sorted(found.images["image"]) == IMAGES and found.skipped.empty
    assert found.images[["height", "width"]].drop_duplicates().to_numpy().tolist() == [list(SHAPE)]
    assert all((tmp_path / path).is_file() for path in [*found.images["path"], *found.masks["data"]])
    assert len(found.masks) == 7
    for row in found.masks.itertuples():
        tolerance = 4 if layout == "jpeg" else 0
        drawn = lesion(f"{row.image}_{row.index + 1}")
        assert (mask_of(found, row.image, tmp_path, row.index) != drawn).sum() <= tolerance
    expected = {"jpeg": "jpeg/", "retriever": "manifest-"}.get(layout.split()[0], "")
    assert all(path.startswith(expected) for path in found.images["path"])


def test_another_layout_is_not_found_when_one_is_forced(whole):
    found = read(whole, layout="retriever")
    assert found.images.empty and len(found.skipped) == 5
    assert re.search(
        r"Mass-Training_P_00001_LEFT_CC/\*-\d{5}/\*-\d{5}/\*\.dcm: missing", found.skipped["reason"][0]
    )


def test_parts_of_a_download_may_have_different_layouts(tmp_path):
    write_tree(tmp_path, "series", ROWS[:4])
    write_tree(tmp_path, "retriever", ROWS[4:])
    write_tables(tmp_path)
    (tmp_path / "manifest-1600709154662").rename(tmp_path / "manifest-2")
    assert len(read(tmp_path).images) == 5
    # unless one is forced
    images = read(tmp_path, layout="series", partial=True).images
    assert sorted(images["image"]) == sorted(set(IMAGES) - set(IMAGES[0:3:2]))


def test_a_folder_below_and_tables_by_other_names(tmp_path):
    write_tree(tmp_path / "deep")
    for path in (tmp_path / "deep").glob("*.csv"):
        path.rename(path.with_name(path.name.replace("_set", "")))
    found = read(tmp_path, folder="deep")
    assert len(found.images) == 5 and all(path.startswith("deep/") for path in found.images["path"])
    names = [path.name for path in cbis_ddsm.sources(tmp_path, folder="deep")]
    assert names[0] == "mass_case_description_train.csv" and len(names) == 4
    assert cbis_ddsm.sources(tmp_path)[0] == tmp_path / "mass_case_description_train_set.csv"
    assert [p.name[:4] for p in cbis_ddsm.sources(tmp_path, kinds=["calcification"])] == ["calc", "calc"]


def test_five_digits_may_be_those_of_two_series(tmp_path):
    write_tree(tmp_path, "retriever")
    (image,) = tmp_path.glob("manifest-*/CBIS-DDSM/Mass-Training_P_00001_LEFT_CC/*/*/1-1.dcm")
    last = image.parent.name[-5:]
    other = image.parent.with_name(f"0.000000-full mammogram images-{last}") / "1-1.dcm"
    write_file(other, "Mass-Training_P_00001_LEFT_CC", f"{PREFIX}77{last}", "full")
    paths = read(tmp_path).images.set_index("image")["path"]
    assert paths["Mass-Training_P_00001_LEFT_CC"] == str(image.relative_to(tmp_path))


# ---- what the tables say


def test_line_feeds_in_quotes_and_both_names_of_density(whole):
    raw = (whole / "calc_case_description_test_set.csv").read_bytes()
    assert raw.count(b"\r\n") == 3 and raw.count(b'.dcm\n"') == 2
    found = cbis_ddsm_tables.abnormalities(whole)
    text = found.drop(columns=["abnormality", "assessment", "subtlety", "density", "row"])
    assert text.apply(lambda column: column == column.str.strip()).all(axis=None)
    density = found.groupby(["kind", "upstream_split"])["density"].unique().map(list).to_dict()
    assert density[("mass", "train")] == [3] and density[("calcification", "test")] == [0]
    # git's copies have line feeds alone, and some have one name in both
    for path in whole.glob("*.csv"):
        (folder := whole / "unix").mkdir(exist_ok=True)
        text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"breast density", b"breast_density")
        (folder / path.name).write_bytes(text)
    again = cbis_ddsm_tables.abnormalities(whole, "unix")
    pd.testing.assert_frame_equal(again.drop(columns="table"), found.drop(columns="table"))


def test_subjects_are_patients_and_the_test_set_is_the_published_one(whole, plain):
    images = plain.images.set_index("image")
    assert images.loc["Mass-Training_P_00001_LEFT_CC", "subject"] == "P_00001"
    # the calcification image of P_00003 would train: the patient is in test for masses
    assert "Calc-Training_P_00003_LEFT_CC" not in images.index
    assert sorted(images.index[images["split"] == "test"]) == IMAGES[0:1] + IMAGES[2:3]
    assert (images["evaluated"] == (images["split"] == "test")).all()
    moved = read(whole, leak="test").images.set_index("image").loc["Calc-Training_P_00003_LEFT_CC"]
    assert moved[["split", "upstream_split", "evaluated"]].tolist() == ["test", "train", True]
    kept = read(whole, leak="kept").images.set_index("image")
    assert kept.loc["Calc-Training_P_00003_LEFT_CC", "split"] in ("train", "validate")


def test_the_cohort_counts_what_every_filter_left(whole):
    cohort = read(whole, without_callback="excluded", mixed="excluded").cohort
    flows = {
        flow: list(zip(rows["filter"], rows["images"], rows["subjects"]))
        for flow, rows in cohort.sort_values("step").groupby("flow")
    }
    assert flows["training"] == [
        ("images of the tables", 6, 4),
        ("called back", 5, 4),
        ("of one pathology", 4, 3),
        ("published as train", 3, 2),
        ("of a patient who is in no test table", 2, 1),
        ("with a readable file", 2, 1),
    ]
    assert flows["evaluation"][-3:] == [
        ("with a readable file", 1, 1),
        ("with a mask of every abnormality", 1, 1),
        ("of these, with a mask of another size, stretched", 0, 0),
    ]
    assert flows["patients in train of one kind and test of the other"] == [
        ("their images", 2, 1),
        ("published as train: left out", 1, 1),
    ]


def test_validation_is_drawn_by_patient_from_each_class(tmp_path):
    rows = [
        abnormality("mass", "train", f"P_{number:05d}", "LEFT", view, pathology=pathology)
        for number in range(20)
        for view, pathology in (("CC", "BENIGN"), ("MLO", "MALIGNANT" if number < 10 else "BENIGN"))
    ]
    write_tree(tmp_path, rows=rows)
    images = read(tmp_path, validation_share=0.3).images
    assert images.groupby("subject")["split"].nunique().max() == 1
    validating = set(images["subject"][images["split"] == "validate"])
    names = [f"P_{number:05d}" for number in range(20)]
    assert validating == shares.first(names[:10], 0.3) | shares.first(names[10:], 0.3)
    assert len(validating) == 6 and (images["split"] == "validate").sum() == 12


def values_of(table: pd.DataFrame, image: str) -> dict:
    rows = table[table["image"] == image]
    return dict(zip(rows["stratum" if "stratum" in rows else "label"], rows["value"]))


def test_labels_of_images(whole, plain):
    found = plain
    assert values_of(found.labels, "Mass-Training_P_00001_LEFT_CC") == {"benign": 0.0, "malignant": 1.0}
    assert values_of(found.labels, "Mass-Training_P_00001_LEFT_MLO") == {"benign": 1.0, "malignant": 0.0}
    assert values_of(found.labels, "Mass-Test_P_00003_LEFT_CC") == {"benign": 1.0, "malignant": 0.0}
    mixed = "Calc-Training_P_00002_RIGHT_CC"
    assert values_of(found.labels, mixed) == {"benign": 0.0, "malignant": 1.0}
    assert mixed not in set(read(whole, mixed="excluded").images["image"])
    assert "Mass-Test_P_00003_LEFT_CC" not in set(read(whole, without_callback="excluded").images["image"])
    categories = read(whole, target="assessment").labels
    assert values_of(categories, mixed) == {f"BI-RADS {n}": float(n == 4) for n in range(6)}, "the highest"
    assert (categories.groupby("image")["value"].sum() == 1).all()
    left = set(read(whole, target="assessment", mixed="excluded").images["image"])
    assert mixed not in left and "Mass-Test_P_00003_LEFT_CC" in left


def test_films_in_both_tables_that_disagree_are_mixed(whole):
    """P_00003's left CC view is a benign mass image and a malignant calcification image."""
    images = read(whole, mixed="excluded").images["image"]
    assert "Mass-Test_P_00003_LEFT_CC" not in set(images)
    alone = read(whole, mixed="excluded", kinds=["mass"])
    assert "Mass-Test_P_00003_LEFT_CC" in set(alone.images["image"])
    assert len(alone.images) == 3 and not alone.cohort["flow"].str.startswith("patients").any()


def test_strata(plain):
    found = plain
    common = {"upstream_split": "test", "abnormalities": "1"}
    assert values_of(found.strata, "Mass-Test_P_00003_LEFT_CC") == common | {
        "kind": "both", "view": "CC", "side": "LEFT", "density": "3", "subtlety": "4", "assessment": "4",
        "mass_shape": "OVAL", "mass_margins": "CIRCUMSCRIBED",
    }  # fmt: skip
    assert values_of(found.strata, "Calc-Test_P_00004_RIGHT_MLO") == common | {
        "kind": "calcification", "view": "MLO", "side": "RIGHT", "density": "unknown", "subtlety": "4",
        "assessment": "4", "abnormalities": "2+", "calc_type": "PUNCTATE", "calc_distribution": "unknown",
    }  # fmt: skip
    unknown = values_of(found.strata, "Mass-Training_P_00001_LEFT_MLO")
    assert unknown["subtlety"] == "unknown" and unknown["mass_margins"] == "unknown"


def test_an_abnormality_may_be_the_unit(whole):
    found = read(whole, unit="abnormality")
    images = found.images.set_index("image")
    pair = images.loc[[f"Calc-Training_P_00002_RIGHT_CC_{number}" for number in (1, 2)]]
    assert len(images) == 7 and pair["path"].nunique() == 1
    assert values_of(found.labels, pair.index[0])["malignant"] == 0.0
    assert values_of(found.labels, pair.index[1])["malignant"] == 1.0
    for name in pair.index:
        assert values_of(found.strata, name)["abnormalities"] == "2+"
        np.testing.assert_array_equal(mask_of(found, name, whole), lesion(name))
    assert found.masks["index"].eq(0).all()
    first = found.cohort[found.cohort["step"] == 0].set_index("flow").loc["training"]
    assert first[["filter", "images", "subjects"]].tolist() == ["abnormalities of the tables", 8, 4]
    assert len(read(whole, unit="abnormality", mixed="excluded").images) == 7, "each has its own label"


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("pathology", "UNSURE", "BENIGN or BENIGN_WITHOUT_CALLBACK or MALIGNANT"),
        ("image view", "XCC", "CC or MLO"),
        ("left or right breast", "", "LEFT or RIGHT"),
        ("assessment", "6", "0 or 1 or 2"),
        ("subtlety", "often", "0 or 1 or 2"),
        ("breast_density", "5", "0 or 1 or 2"),
        ("abnormality id", "0", "a number from 1"),
        ("abnormality type", "calcification", "expected mass"),
        ("patient_id", "", "a patient's id"),
        ("image file path", "000000.dcm", "PatientID/StudyUID/SeriesUID/file"),
        ("ROI mask file path", "../../1.2/1.3/x.dcm", "PatientID/StudyUID/SeriesUID/file"),
        ("ROI mask file path", "Mass-Training_P_1/../../x.dcm", "PatientID/StudyUID/SeriesUID/file"),
        ("cropped image file path", "/1.2/1.3/x.dcm", "PatientID/StudyUID/SeriesUID/file"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, column, value, words):
    rows = [dict(row) for row in ROWS]
    rows[1][column] = value
    if column == "image file path":
        rows[1][column] = "Mass-Training_" + value
    write_tables(tmp_path, rows)
    with pytest.raises(DatasetError) as caught:
        read(tmp_path)
    assert "mass_case_description_train_set.csv: row 3" in str(caught.value) and words in str(caught.value)


def test_a_missing_table_or_column_and_a_repeated_row(tmp_path):
    write_tables(tmp_path, [*ROWS, ROWS[0]])
    with pytest.raises(DatasetError, match="row 4: ROI mask file path is .* expected each value once"):
        read(tmp_path)
    path = tmp_path / "mass_case_description_train_set.csv"
    path.write_bytes(path.read_bytes().replace(b"subtlety", b"subtility"))
    with pytest.raises(DatasetError, match="lacks the column.* subtlety"):
        read(tmp_path)
    path.unlink()
    with pytest.raises(DatasetError, match="mass_case_description_train_set.csv: missing"):
        read(tmp_path)


# ---- files that are missing, damaged or of another series


def skipped(found: dataset.Dataset) -> dict:
    (row,) = found.skipped.to_dict("records")
    return row


def test_a_missing_image_is_skipped_and_the_others_go_on(tree):
    folder = tree / ROWS[0][PATHS[0]].split("/")[2]
    shutil.rmtree(folder)
    row = skipped(found := read(tree))
    assert row["stage"] == "read" and row["item"] == "Mass-Training_P_00001_LEFT_CC"
    assert row["path"] == f"{folder.name}/*.dcm" and "missing" in row["reason"]
    assert len(found.images) == 4 and "Mass-Training_P_00001_LEFT_CC" not in set(found.masks["image"])
    found = read(tree, partial=True)
    assert found.skipped.empty and len(found.images) == 4
    flow = found.cohort[found.cohort["flow"] == "training"].set_index("filter")["images"]
    assert flow["of a patient who is in no test table"] == 3 and flow["with a readable file"] == 2


def test_a_missing_mask_leaves_the_image_without_its_lesion(tree):
    shutil.rmtree(roi_folder(tree, ROWS[7]))  # one of two abnormalities
    row = skipped(found := read(tree))
    assert row["stage"] == "reading" and row["item"] == "Calc-Test_P_00004_RIGHT_MLO"
    assert "goes on without its lesion" in row["reason"] and row["path"] in row["reason"]
    assert "Calc-Test_P_00004_RIGHT_MLO" in set(found.images["image"])
    (mask,) = found.masks[found.masks["image"] == "Calc-Test_P_00004_RIGHT_MLO"].itertuples()
    assert mask.encoding == "absent" and row["reason"].startswith(mask.data), "a part of a lesion is none"
    flow = found.cohort[found.cohort["flow"] == "evaluation"].set_index("filter")["images"]
    assert flow["with a mask of every abnormality"] == 1


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty", "no picture"])
def test_a_damaged_image_is_skipped(tree, damage):
    (path,) = (tree / ROWS[0][PATHS[0]].split("/")[2]).glob("1-*.dcm")
    data = path.read_bytes()
    series = path.parent.name
    path.write_bytes(
        {
            "garbage": b"x" * 500,
            "truncated": data[:200],
            "empty": b"",
            "no picture": dicom_files.content(
                pixels_of("x", "full"), SeriesInstanceUID=series, Rows=None, Columns=None
            ),
        }[damage]
    )
    row = skipped(found := read(tree))
    assert row["path"] == f"{series}/1-1.dcm" and row["reason"].startswith(row["path"])
    assert len(found.images) == 4


def test_files_of_another_series_are_refused(tree):
    (path,) = (tree / ROWS[0][PATHS[0]].split("/")[2]).glob("1-*.dcm")
    write_file(path, "Mass-Training_P_00001_LEFT_CC", PREFIX + "99", "full")
    assert f"is of the series {PREFIX}99, not {path.parent.name}" in skipped(read(tree))["reason"]


def test_a_series_unpacked_twice_and_a_second_picture(tree):
    (path,) = (tree / ROWS[0][PATHS[0]].split("/")[2]).glob("1-*.dcm")
    shutil.copyfile(path, path.with_name("00000001.dcm"))  # the name of another era
    found = read(tree)
    assert found.skipped.empty and len(found.images) == 5
    write_file(path, "Mass-Training_P_00001_LEFT_CC", path.parent.name, "crop")
    assert "2 pictures in the series of one image" in skipped(read(tree))["reason"]


# ---- crop and mask


def test_crop_and_mask_in_a_series_each_even_if_the_table_swaps_them(tmp_path):
    rows = [dict(row) for row in ROWS]
    write_tree(tmp_path, rows=rows)
    rows[5][PATHS[1]], rows[5][PATHS[2]] = rows[5][PATHS[2]], rows[5][PATHS[1]]
    write_tables(tmp_path, rows)
    found = read(tmp_path)
    np.testing.assert_array_equal(
        mask_of(found, "Mass-Test_P_00003_LEFT_CC", tmp_path), lesion("Mass-Test_P_00003_LEFT_CC_1")
    )
    # the mask's own series alone is enough, the crop's is not
    shutil.rmtree(tmp_path / rows[5][PATHS[2]].split("/")[2])
    assert read(tmp_path).skipped.empty
    shutil.copytree(roi_folder(tmp_path, ROWS[4]), tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / rows[5][PATHS[1]].split("/")[2])
    assert "goes on without its lesion" in skipped(read(tmp_path))["reason"]


def test_a_mask_of_another_size_keeps_its_grid_and_is_stretched(tree):
    (folder,) = [roi_folder(tree, ROWS[6])]
    small = (52, 35)  # the ratio of sides is another too
    series = folder.name
    for path in folder.glob("1-*.dcm"):
        path.unlink()
    drawn = lesion("Calc-Test_P_00004_RIGHT_MLO_1", small)
    write_file(folder / "a.dcm", "x", series, "crop")
    write_file(folder / "b.dcm", "x", series, "mask", pixels=drawn.astype(np.uint8) * 255)
    found = read(tree)
    rows = found.masks[found.masks["image"] == "Calc-Test_P_00004_RIGHT_MLO"]
    assert rows[["height", "width"]].to_numpy().tolist() == [list(small), list(SHAPE)]
    flow = found.cohort[found.cohort["flow"] == "evaluation"].set_index("filter")["images"]
    assert flow["of these, with a mask of another size, stretched"] == 1 and found.skipped.empty
    united = regions.united(list(rows.itertuples()), SHAPE, tree)
    whole = lesion("Calc-Test_P_00004_RIGHT_MLO_1") | lesion("Calc-Test_P_00004_RIGHT_MLO_2")
    assert (united != whole).mean() < 0.03 and united.shape == SHAPE
    kinds = {"lesions": {"of": "lesion"}}
    table, values = regions.render(kinds, found.boxes, found.masks, found.images, tree, 1.0)
    at = table["image"].tolist().index("Calc-Test_P_00004_RIGHT_MLO")
    np.testing.assert_array_equal(list(values)[at], united)


IMAGE = Header("image.dcm", 100, 80)


@pytest.mark.parametrize(
    ("sizes", "descriptions", "binary", "expected"),
    [
        ([(20, 20), (100, 80)], ["", ""], None, 1),  # the image's size
        ([(100, 80), (20, 20)], ["", ""], None, 0),
        ([(20, 20), (87, 70)], ["", ""], None, 1),  # nearly
        ([(90, 80), (100, 80)], ["", ""], None, 1),  # a crop of nearly everything
        ([(20, 70), (60, 60)], ["", ""], None, 1),  # a long crop: one side is short
        ([(120, 96), (20, 30)], ["", ""], None, 0),  # larger than the image
        ([(70, 60), (87, 70)], ["cropped images", "ROI mask images"], None, 1),  # by their series' words
        ([(70, 60), (87, 70)], ["ROI mask images"] * 2, [True, False], 0),  # of a shared series: by pixels
        ([(20, 20), (30, 30)], ["", ""], [False, True], 1),  # both small
        ([(100, 80), (100, 80)], ["", ""], [False, True], 1),  # both of the image's size
        ([(60, 60)], ["ROI mask images"], [False], None),  # a crop alone
        ([(60, 60)], ["ROI mask images"], [True], 0),  # a mask alone
        ([(30, 20), (20, 20)], ["", ""], [True, True], None),
    ],
)
@pytest.mark.parametrize("ending", ["dcm", "jpg"])
def test_the_mask_is_told_by_content(tmp_path, sizes, descriptions, binary, expected, ending):
    headers = []
    for at, (size, description) in enumerate(zip(sizes, descriptions)):
        headers.append(Header(f"{at}.{ending}", *size, description=description))
        if binary is not None:  # else no pixels are there to be read
            disc = np.hypot(*(np.indices(size) - np.array(size)[:, None, None] / 2)) < min(size) / 3
            values = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size) * 5
            values = disc.astype(np.uint8) * 255 if binary[at] else values
            write_file(tmp_path / headers[-1].path, "x", "1.2", "crop", pixels=values)
    if expected is None:
        with pytest.raises(DatasetError, match=r"^0\.\w+: of the \d picture\(s\)"):
            mask_among(headers, IMAGE, tmp_path)
    else:
        assert mask_among(headers, IMAGE, tmp_path) is headers[expected]


def test_the_jpeg_editions_table_tells_what_a_series_holds(tmp_path):
    write_tree(tmp_path, "jpeg")
    row = ROWS[5]
    paths = {}
    for role, column in (("crop", PATHS[1]), ("mask", PATHS[2])):
        (path,) = (tmp_path / "jpeg" / row[column].split("/")[2]).glob("*.jpg")
        paths[role] = path
        Image.fromarray(np.full((50, 38), 128, np.uint8)).save(path)  # both large, neither binary
    assert "none may be the mask" in skipped(read(tmp_path))["reason"]
    table = pd.DataFrame(
        {
            "image_path": [f"CBIS-DDSM/jpeg/{path.parent.name}/{path.name}" for path in paths.values()],
            "SeriesDescription": [DESCRIPTIONS[role] for role in paths],
        }
    )
    table.to_csv(tmp_path / "csv" / "dicom_info.csv", index=False)
    assert len(cbis_ddsm.sources(tmp_path)) == 5
    found = read(tmp_path)
    masks = found.masks.set_index("image")
    assert masks.loc["Mass-Test_P_00003_LEFT_CC", "data"] == str(paths["mask"].relative_to(tmp_path))


def test_each_header_is_read_once(whole, monkeypatch):
    from sightline.datasets import picture_headers

    opened = []
    plain = picture_headers.of_dicom
    monkeypatch.setattr(
        picture_headers, "of_dicom", lambda path, root: opened.append(path) or plain(path, root)
    )
    read(whole, unit="abnormality", leak="kept")
    assert len(opened) == len(set(opened)) == 6 + 2 * 8


def test_spacing_comes_from_the_header(tree):
    (path,) = (tree / ROWS[0][PATHS[0]].split("/")[2]).glob("1-*.dcm")
    patient = "Mass-Training_P_00001_LEFT_CC"
    write_file(path, patient, path.parent.name, "full", ImagerPixelSpacing=["0.05", "0.04"])
    images = read(tree).images.set_index("image")
    assert images.loc[patient, ["spacing_y", "spacing_x"]].tolist() == [0.05, 0.04]
    assert images["spacing_y"].isna().sum() == 4


def test_patients_who_train_in_one_dataset_and_are_tested_in_another_of_the_folder_are_counted(whole):
    """A kind of abnormality each: neither dataset knows of the other's patients (P_00003 is in both)."""
    both = {
        name: dataset.read(name, whole, "cbis_ddsm", {"kinds": [name]}, {}).images
        for name in ("calcification", "mass")
    }
    images = pd.concat(both.values(), ignore_index=True)
    (found,) = leaks.shared(images, [("calcification", "mass"), ("mass", "calcification")])
    assert found == {"trained_on": "calcification", "dataset": "mass", "subjects": 1, "of": 1}
    (said,) = leaks.told({"mass": {"images": 3, "learned_from": [found]}, "calcification": {"images": 3}})
    assert said.startswith(
        "1 of the 1 subjects of mass that are tested are, by their names, subjects of calc"
    )
    apart = images[~((images["dataset"] == "calcification") & (images["subject"] == "P_00003"))]
    assert leaks.shared(apart, [("calcification", "mass")]) == []
