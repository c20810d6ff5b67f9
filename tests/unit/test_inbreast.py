"""INbreast: small releases with the real names, separators and contours, and each of the format's traps."""

import plistlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from sightline import regions, tables
from sightline.datasets import dataset, inbreast, inbreast_contours, shares
from sightline.errors import ConfigError, DatasetError
from sightline.options import with_defaults
from tests.unit import dicom_files

RELEASE = "INbreast Release 1.0"
SHAPE = (90, 70)
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
SQUARE = [(10, 20), (30, 20), (30, 50), (10, 50)]
PATIENTS = [f"{number:015x}a" for number in range(8)]
# (File Name, patient, side, view in the table, ACR, BI-RADS)
IMAGES = [
    ("20586908", 0, "R", "CC", "1", "2"),
    ("20586934", 0, "L", "MLO", " ", "5"),
    ("20586960", 1, "R", "MLO", "4", "1"),
    ("20586986", 1, "L", "CC", "2", "4a"),
    ("22670094", 2, "R", "CC", "3", "6"),
    ("22670620", 3, "L", "CC", "3", "3"),
    ("24055445", 4, "L", "MLO", "2", "4C"),
    ("24055464", 5, "R", "CC", "2", "1"),
    ("24065251", 6, "R", "CC", "1", "2"),
    ("24065289", 7, "R", "MLO", "1", "4b"),
]
CONTOURS = {
    "20586908": [("Calcification", [(5, 7)]), ("Calcifications", [(40.4, 60.6)]), ("Cluster", SQUARE)],
    "20586934": [("Mass", SQUARE), ("Espiculated Region", [(5, 5), (40, 5), (40, 60), (5, 60)])],
    "20586986": [("Mass", SQUARE), ("Calcification ", [(60, 80)])],
    "22670094": [("Mass", [(y, x) for x, y in [(40, 60), (60, 60), (60, 85), (40, 85)]])],
    "22670620": [("Assymetry", SQUARE), ("Axilla lymph node", [(1, 1), (9, 1), (9, 9), (1, 9)])],
    "24055445": [("Distortion", SQUARE)],
    "24065251": [("Unnamed", SQUARE), ("Point 3", [(3, 3)])],
    "24065289": [("Cluster", SQUARE)],
}


def contour_file(named: list[tuple[str, list]]) -> bytes:
    """A contour file as the release has them, by plistlib alone."""
    found = [
        {
            "Area": 0.0,
            "IndexInImage": at,
            "Name": name,
            "NumberOfPoints": len(points),
            "Point_mm": [f"({x * 0.07:f}, {y * 0.07:f})" for x, y in points],
            "Point_px": [f"({x:f}, {y:f})" for x, y in points],
            "Type": 15,
        }
        for at, (name, points) in enumerate(named)
    ]
    return plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(found), "ROIs": found}]})


def write_release(root: Path) -> Path:
    """A release; its folder."""
    release = root / RELEASE
    for name in ("AllDICOMs", "AllXML"):
        (release / name).mkdir(parents=True)
    lines = [HEADER]
    for name, patient, side, view, density, category in IMAGES:
        lines.append(f"removed;removed;{side};{view};201001;{name};{density};{category}")
        in_name = "ML" if view == "MLO" else view
        file = release / "AllDICOMs" / f"{name}_{PATIENTS[patient]}_MG_{side}_{in_name}_ANON.dcm"
        pixels = np.random.default_rng(int(name)).integers(0, 4000, SHAPE, dtype=np.uint16)
        file.write_bytes(dicom_files.content(pixels, PixelSpacing=["0.07", "0.07"], PatientID="removed"))
    (release / "INbreast.csv").write_text("\n".join(lines) + "\n")
    for name, named in CONTOURS.items():
        (release / "AllXML" / f"{name}.xml").write_bytes(contour_file(named))
    (release / "AllDICOMs" / "._20586908_note.dcm").write_bytes(b"a file system's note")
    return release


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A release that tests only read; the folder above it."""
    root = tmp_path_factory.mktemp("inbreast")
    write_release(root)
    return root


@pytest.fixture
def release(whole, tmp_path) -> Path:
    """A release that a test may break."""
    return shutil.copytree(whole / RELEASE, tmp_path / RELEASE)


def read(root: Path, **options) -> dataset.Dataset:
    options = {"test_patients": 3, "swapped": ["22670094"]} | options
    found = dataset.read("breasts", root, "inbreast", options, {})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def mask(found: dataset.Dataset, image: str, kind: str) -> np.ndarray:
    (row,) = found.masks[(found.masks["image"] == image) & (found.masks["kind"] == kind)].itertuples()
    return regions.united([row], SHAPE, Path("."))


def drawn(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    """Filled rectangles (xmin, ymin, xmax, ymax), both ends inside."""
    found = np.zeros(SHAPE, dtype=bool)
    for left, top, right, bottom in rectangles:
        found[top : bottom + 1, left : right + 1] = True
    return found


def strata_of(found: dataset.Dataset, image: str) -> dict:
    rows = found.strata[found.strata["image"] == image]
    return dict(zip(rows["stratum"], rows["value"]))


def test_images_patients_and_sizes(whole):
    found = read(whole)
    images = found.images.set_index("image")
    assert len(images) == len(IMAGES) and found.skipped.empty
    assert images["subject"].to_dict() == {name: PATIENTS[patient] for name, patient, *_ in IMAGES}
    assert images[["height", "width", "spacing_y", "spacing_x"]].drop_duplicates().to_numpy().tolist() == [
        [90, 70, 0.07, 0.07]
    ]
    assert all((whole / path).is_file() for path in images["path"])
    assert images["view"].to_dict() == {name: view for name, _, _, view, *_ in IMAGES}
    below = read(whole, folder=RELEASE)
    assert below.images["path"].tolist() == found.images["path"].tolist()
    assert inbreast.sources(whole) == [whole / RELEASE / "INbreast.csv"]


def test_patients_are_drawn_by_their_hash(whole):
    images = read(whole).images
    split = images.groupby("subject")["split"].unique().map(list)
    assert split.map(len).max() == 1, "all images of a patient are in one split"
    tested = shares.first(PATIENTS, 3 / 8)
    assert {patient for patient, of in split.items() if of == ["test"]} == tested and len(tested) == 3
    malignant = {
        PATIENTS[of] for _, of, *_, category in IMAGES if category.lower() in ("4a", "4b", "4c", "5", "6")
    }
    for share in (0.0, 0.5):
        validating = read(whole, validation_share=share).images.query("split == 'validate'")["subject"]
        rest = set(PATIENTS) - tested
        expected = shares.first(malignant - tested, share) | shares.first(rest - malignant, share)
        assert set(validating) == expected
    assert (images["evaluated"] == (images["split"] == "test")).all()
    with pytest.raises(DatasetError, match="there are 8 patients, of whom 25 are to test"):
        read(whole, test_patients=25)


def test_labels_by_the_mapping(whole):
    def malignant(**options) -> dict:
        labels = read(whole, **options).labels
        assert (labels.groupby("image")["value"].sum() == 1).all()
        return labels[labels["label"] == "malignant"].set_index("image")["value"].to_dict()

    expected = {name: float(category.lower() not in ("1", "2", "3")) for name, *_, category in IMAGES}
    assert malignant() == expected
    without = malignant(mapping={"3": None})
    assert without == {name: value for name, value in expected.items() if name != "22670620"}
    assert malignant(mapping={"3": "malignant"}) == expected | {"22670620": 1.0}
    cohort = read(whole, mapping={"3": None}).cohort.query("flow == 'training'").set_index("filter")["images"]
    assert cohort["with a readable file"] == 10 and cohort["of a category that has a label"] == 9
    categories = read(whole, target="birads", mapping={"3": None}).labels
    assert categories["label"].nunique() == 8 and categories["image"].nunique() == 10
    held = categories[categories["value"] == 1].set_index("image")["label"].to_dict()
    assert held == {name: f"BI-RADS {category.lower()}" for name, *_, category in IMAGES}


def test_the_configurations_mapping():
    completed = with_defaults("sightline.datasets.inbreast", {"mapping": {"3": None}}, "adapter")
    assert completed["mapping"]["3"] is None and completed["mapping"]["4a"] == "malignant"
    assert len(completed["mapping"]) == 8 and completed["test_patients"] == 25
    with pytest.raises(ConfigError, match="'7'"):
        with_defaults("sightline.datasets.inbreast", {"mapping": {"7": "benign"}}, "adapter")
    with pytest.raises(ConfigError):
        with_defaults("sightline.datasets.inbreast", {"mapping": {"3": "probably"}}, "adapter")


def test_strata(whole):
    found = read(whole)
    assert strata_of(found, "20586934") == {
        "kind": "mass", "view": "MLO", "side": "LEFT", "density": "unknown", "birads": "5",
    }  # fmt: skip
    kinds = {name: strata_of(found, name)["kind"] for name, *_ in IMAGES}
    assert kinds == {
        "20586908": "calcification", "20586934": "mass", "20586960": "none", "20586986": "both",
        "22670094": "mass", "22670620": "other", "24055445": "other", "24055464": "none",
        "24065251": "other", "24065289": "calcification",
    }  # fmt: skip
    assert strata_of(found, "24055445")["birads"] == "4c"


def test_contours_become_masks(whole):
    found = read(whole)
    assert found.masks["index"].eq(0).all() and set(found.masks["encoding"]) == {"polygons"}
    kinds = found.masks.groupby("image")["kind"].agg(sorted).to_dict()
    assert kinds["20586908"] == ["calcification", "cluster", "lesion"]
    assert kinds["20586934"] == ["lesion", "mass", "spiculated region"]
    assert kinds["22670620"] == ["asymmetry", "axilla lymph node", "lesion"]
    assert kinds["24065251"] == ["lesion", "point 3", "unnamed"], "an unknown name is a kind of its own"
    assert "20586960" not in kinds, "BI-RADS 1 has no file and no lesion"
    square = drawn((10, 20, 30, 50))
    np.testing.assert_array_equal(mask(found, "20586934", "mass"), square)
    np.testing.assert_array_equal(mask(found, "20586934", "lesion"), drawn((5, 5, 40, 60)))
    specks = drawn((5, 7, 5, 7), (40, 61, 40, 61))  # a single point is the pixel nearest to it
    np.testing.assert_array_equal(mask(found, "20586908", "calcification"), specks)
    np.testing.assert_array_equal(mask(found, "20586908", "lesion"), specks | square)
    np.testing.assert_array_equal(mask(found, "22670620", "lesion"), square)  # a lymph node is none
    kinds = {"lesions": {"of": "lesion"}}
    rows, _ = regions.render(kinds, found.boxes, found.masks, found.images, whole, 1.0)
    assert rows.set_index("image")["status"].value_counts().to_dict() == {"ok": 8, "not_applicable": 2}


def test_x_and_y_may_be_exchanged_in_files_that_are_named(whole):
    np.testing.assert_array_equal(mask(read(whole), "22670094", "lesion"), drawn((40, 60, 60, 85)))
    found = read(whole, swapped=[])
    (row,) = found.skipped.to_dict("records")
    assert row["stage"] == "reading" and row["item"] == "22670094" and row["path"].endswith("22670094.xml")
    assert "15.5 px outside the image of 70 x 90" in row["reason"] and "option `swapped`" in row["reason"]
    assert "22670094" in set(found.images["image"]) and absent(found, "22670094") == {"lesion", "mass"}
    with pytest.raises(DatasetError, match="has no row for '1'"):
        read(whole, swapped=["1"])


def absent(found: dataset.Dataset, image: str) -> set[str]:
    """The kinds of masks of an image that are there and cannot be had."""
    rows = found.masks[found.masks["image"] == image]
    return set(rows["kind"][rows["encoding"] == "absent"])


def rewritten(release: Path, image: str, content: bytes | list) -> dataset.Dataset:
    """The dataset with another contour file."""
    data = content if isinstance(content, bytes) else contour_file(content)
    (release / "AllXML" / f"{image}.xml").write_bytes(data)
    return read(release.parent)


def test_points_just_outside_move_to_the_edge_and_others_are_refused(release):
    just = [(-1, -1), (70, -1), (70, 90), (-1, 90)]
    np.testing.assert_array_equal(
        mask(rewritten(release, "24055445", [("Mass", just)]), "24055445", "mass"), np.ones(SHAPE, dtype=bool)
    )
    far = [("Mass", SQUARE), ("Cluster", [(-9, 5), (5, 5), (5, 9)]), ("Calcification", [(3, 3)])]
    found = rewritten(release, "24055445", far)
    (row,) = found.skipped.to_dict("records")
    assert "24055445.xml: region 2 ('Cluster') lies 8.5 px outside" in row["reason"]
    # a lesion of which a part is unknown is no lesion; the whole kinds stay
    assert absent(found, "24055445") == {"cluster", "lesion"}
    assert set(found.masks["kind"][found.masks["image"] == "24055445"]) - {"cluster", "lesion"} == {
        "calcification",
        "mass",
    }


DOCTYPE = b"<!DOCTYPE plist [%s]>\n<plist><dict><key>Images</key>%s</dict></plist>"
LAUGHS = b'<!ENTITY a "lol">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + at, b"&%c;" % (97 + at) * 10) for at in range(9)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (DOCTYPE % (LAUGHS, b"<string>&j;</string>"), "entity declarations are not supported"),
        (DOCTYPE % (b'<!ENTITY x SYSTEM "file:///etc/hostname">', b"<string>&x;</string>"), "entity"),
        (DOCTYPE % (b'<!ENTITY % x SYSTEM "http://localhost:9/x"> %x;', b"<array/>"), "entity"),
        (b"<plist><dict><key>Images</key>", "not a list of regions"),
        (b"", "not a list of regions"),
        (b"\x00" * 100, "not a list of regions"),
        (plistlib.dumps({"Images": []}, fmt=plistlib.FMT_BINARY), "not a list of regions"),
        (plistlib.dumps({"Image": []}), "not a list of regions"),
        (plistlib.dumps([1, 2]), "not a list of regions"),
        (plistlib.dumps({"Images": [{"ROIs": 3}]}), "not a list of regions"),
        (plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass"}]}]}), "not a list of regions"),
        (
            plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": []}]}]}),
            "region 1 has no points",
        ),
        (plistlib.dumps({"Images": [{"ROIs": [{"Name": "M", "Point_px": ["1, 2"]}]}]}), "not written as"),
        (plistlib.dumps({"Images": [{"ROIs": [{"Point_px": ["(1, 2e999)"]}]}]}), "not finite"),
        (plistlib.dumps({"Images": [{"ROIs": [{"Point_px": ["(1.2.3, 2)"]}]}]}), "could not convert"),
    ],
)
def test_a_bad_contour_file_costs_its_masks_alone(release, content, words):
    found = rewritten(release, "24055445", content)
    (row,) = found.skipped.to_dict("records")
    assert row["item"] == "24055445" and row["stage"] == "reading"
    assert words in row["reason"] and row["reason"].startswith(row["path"])
    assert len(found.images) == 10 and absent(found, "24055445") == {"lesion"}
    # what is not known cannot be taken out of the rest either
    kinds = {"lesion": {"of": "lesion"}, "rest": {"of": "lesion", "outside": True, "minus": "lesion"}}
    rows, _ = regions.render(kinds, found.boxes, found.masks, found.images, release.parent, 1.0)
    (first, second) = rows[rows["image"] == "24055445"].itertuples()
    assert first.status == second.status == "not_applicable" and words in first.reason
    assert strata_of(found, "24055445")["kind"] == "unknown"


def test_apples_document_type_is_read(release):
    assert b"<!DOCTYPE plist PUBLIC" in contour_file([]), "as in the release"
    found = rewritten(release, "20586960", contour_file([]))  # a file without regions, of BI-RADS 1
    assert found.skipped.empty and strata_of(found, "20586960")["kind"] == "none"


def test_a_missing_contour_file(release):
    (release / "AllXML" / "24055445.xml").unlink()
    found = read(release.parent)
    (row,) = found.skipped.to_dict("records")
    assert "24055445.xml: missing, though the table gives the image a finding" in row["reason"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Mass", "mass"), ("mass ", "mass"), ("Calcifications", "calcification"), ("Clusters", "cluster"),
        ("Spiculated Region", "spiculated region"), ("Espiculated  Region", "spiculated region"),
        ("Assymetry", "asymmetry"), ("Asymmetry", "asymmetry"), ("Unnamed", "unnamed"), ("", "unnamed"),
        ("Axilla Lymph Node", "axilla lymph node"),
    ],
)  # fmt: skip
def test_names_of_regions(name, kind):
    assert inbreast_contours.kind_of(name) == kind


@pytest.mark.parametrize(
    ("kinds", "finding"),
    [
        (set(), "none"),
        ({"mass", "spiculated region"}, "mass"),
        ({"cluster"}, "calcification"),
        ({"mass", "calcification", "distortion"}, "both"),
        ({"distortion"}, "other"),
        ({"axilla lymph node"}, "none"),
    ],
)
def test_kinds_of_findings(kinds, finding):
    assert inbreast_contours.finding(kinds) == finding


# ---- files and table


def test_files_and_rows_that_do_not_meet_are_skipped(release):
    folder = release / "AllDICOMs"
    (gone,) = folder.glob("20586908_*.dcm")
    gone.unlink()
    (damaged,) = folder.glob("20586934_*.dcm")
    damaged.write_bytes(b"no DICOM")
    (doubled,) = folder.glob("24065289_*.dcm")
    shutil.copyfile(doubled, folder / doubled.name.replace("_MG_R_ML_", "_MG_R_CC_"))
    shutil.copyfile(doubled, folder / doubled.name.replace("24065289", "11111111"))
    shutil.copyfile(doubled, folder / "copy of something.dcm")
    found = read(release.parent, test_patients=2)
    reasons = found.skipped.set_index("item")["reason"].to_dict()
    assert set(found.skipped["stage"]) == {"read"} and len(found.images) == 7
    assert "20586908_*_ANON.dcm: missing" in reasons["20586908"]
    assert "not a DICOM file" in reasons["20586934"] and damaged.name in reasons["20586934"]
    assert "2 files of this image" in reasons["24065289"]
    assert any("INbreast.csv has no row for it" in reason for reason in reasons.values())
    assert "is not named <File Name>_<16 digits" in reasons["copy of something.dcm"]
    assert not set(found.masks["image"]) & {"20586908", "20586934", "24065289"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (";20586934; ;5", ";20586934; ;7", "row 3: Bi-Rads is '7', expected 1 or 2"),
        (";20586934; ;5", ";20586934;9;5", "row 3: ACR is '9'"),
        (";L;MLO;201001;20586934", ";X;MLO;201001;20586934", "row 3: Laterality"),
        (";20586934;", ";;", "row 3: File Name is ''"),
        (";20586934;", ";20586908;", "row 3: File Name is '20586908', expected each value once"),
        ("Bi-Rads", "Bi-rads", "lacks the column"),
        (";", ",", "lacks the column"),
    ],
)
def test_a_malformed_table_is_named(release, old, new, words):
    path = release / "INbreast.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError) as caught:
        read(release.parent)
    assert f"{RELEASE}/INbreast.csv: " in str(caught.value) and words in str(caught.value)


def test_the_spreadsheet_is_not_read_in_the_tables_stead(release):
    (release / "INbreast.csv").rename(release / "INbreast.xls")
    for ask in (lambda: read(release.parent), lambda: inbreast.sources(release.parent)):
        with pytest.raises(
            DatasetError, match=r"INbreast.csv: missing; INbreast.xls is not read .* two rows of notes"
        ):
            ask()
    (release / "INbreast.xls").unlink()
    with pytest.raises(DatasetError, match="INbreast.csv: missing; put the file there"):
        read(release.parent)


def test_the_cohort(whole):
    cohort = read(whole).cohort
    evaluation = cohort[cohort["flow"] == "evaluation"].set_index("filter")
    assert evaluation["images"].tolist()[:3] == [10, 10, 10] and evaluation["subjects"].iloc[0] == 8
    images = read(whole).images
    tested = images[images["split"] == "test"]
    assert evaluation.loc["split test", ["images", "subjects"]].tolist() == [len(tested), 3]
    marked = tested[~tested["image"].isin(["20586960", "24055464"])]
    assert evaluation.loc["with a lesion's contour", "images"] == len(marked)
