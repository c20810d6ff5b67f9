"""The adapters of openly licensed data, on the real files: counts against plain pandas, and broken copies."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.datasets import dataset
from sightline.errors import DatasetError
from sightline.preparing import pictures


def read(root: Path, adapter: str, **options) -> dataset.Dataset:
    found = dataset.read("open", root, adapter, options, {})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def test_kermany_splits_by_the_stated_rule(real):
    root = real / "cxr_kermany_pediatric"
    found = read(root, "kermany")
    images = found.images.set_index("image")
    assert images["split"].value_counts().to_dict() == {"train": 144, "test": 60, "validate": 36}
    assert (images["evaluated"] == (images["split"] == "test")).all()
    table = pd.read_csv(root / "metadata.csv").set_index("patient_key")
    for label in ("NORMAL", "PNEUMONIA"):
        keys = table[(table["split"] == "train") & (table["label"] == label)].index
        first = sorted(keys, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[:18]
        validating = images[(images["split"] == "validate") & images["subject"].isin(keys)]
        assert sorted(validating["subject"]) == sorted(first)
    values = found.labels.set_index("image")["value"]
    expected = {row.image: float("PNEUMONIA" in row.path) for row in found.images.itertuples()}
    assert values.to_dict() == expected and values.sum() == 120
    assert all((root / path).is_file() for path in found.images["path"])


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 18), (0.5, 90)])
def test_kermany_validation_share(real, share, count):
    images = read(real / "cxr_kermany_pediatric", "kermany", validation_share=share).images
    assert (images["split"] == "validate").sum() == count


def test_covid_films_with_lung_boxes_their_hull_and_masks(real):
    root = real / "cxr_covid_open"
    found = read(root, "covid_cxr")
    assert (
        len(found.images) == 113
        and found.images["evaluated"].all()
        and set(found.images["split"]) == {"test"}
    )
    assert found.boxes["kind"].value_counts().to_dict() == {"lung": 226, "chest": 113}
    assert len(found.masks) == 83 and all((root / path).is_file() for path in found.masks["data"])
    assert all((root / path).is_file() for path in found.images["path"])
    plain = pd.read_csv(root / "lung_boxes.csv").groupby("image")
    expected = pd.DataFrame({"xmin": plain["xmin"].min(), "ymax": plain["ymax"].max()})
    chest = found.boxes[found.boxes["kind"] == "chest"].set_index("image")
    for image in expected.index:
        assert chest.loc[Path(image).stem, ["xmin", "ymax"]].tolist() == expected.loc[image].tolist()


@pytest.mark.parametrize(
    ("folder", "adapter", "last"),
    [
        ("cxr_kermany_pediatric", "kermany", {"training": (180, 180), "evaluation": (60, 60)}),
        ("cxr_covid_open", "covid_cxr", {"evaluation": (113, 63), "lung masks": (83, 48)}),
    ],
)
def test_the_cohort_tells_every_purpose(real, folder, adapter, last):
    cohort = read(real / folder, adapter).cohort.sort_values("step").groupby("flow").last()
    assert {flow: (row["images"], row["subjects"]) for flow, row in cohort.iterrows()} == last


@pytest.mark.parametrize(("coder", "count"), [("MN", 403), ("RA", 391)])
def test_andersson_participants_look_at_photographs(real, coder, count):
    root = real / "gaze_andersson_images"
    found = read(root, "andersson", coder=coder)
    assert len(found.fixations) == count and len(found.readings) == 14
    assert sorted(found.images["image"]) == ["Europe", "Rome", "konijntjes", "vy"]
    assert found.images[["height", "width"]].drop_duplicates().to_numpy().tolist() == [[768, 1024]]
    plain = pd.read_csv(root / "fixations.csv").query("coder == @coder")
    counts = plain.groupby(["image", "subject"]).size()
    assert found.readings.set_index(["image", "reader"])["fixations"].to_dict() == counts.to_dict()
    assert found.readings["reader"].nunique() < len(found.readings), (
        "one participant looked at two photographs"
    )
    np.testing.assert_allclose(found.fixations["angular_resolution_x_pixels_per_degree"], 31.512)
    np.testing.assert_allclose(found.fixations["angular_resolution_y_pixels_per_degree"], 29.937)
    assert found.boxes[["kind", "xmax", "ymax"]].drop_duplicates().to_numpy().tolist() == [
        ["image", 1024, 768]
    ]


@pytest.fixture
def copy(real, tmp_path):
    """Copies the csv files (and photographs) of a real folder, to break them."""

    def make(name: str) -> Path:
        for path in [*real.joinpath(name).glob("*.csv"), *real.joinpath(name).glob("images/*.jpg")]:
            if path.suffix == ".csv" or "andersson" in name:
                target = tmp_path / path.relative_to(real / name)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
        return tmp_path

    return make


def damage(path: Path, row: int, column: str, value: str) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[row - 2, column] = value
    table.to_csv(path, index=False)


@pytest.mark.parametrize(
    ("folder", "adapter"), [("cxr_kermany_pediatric", "kermany"), ("cxr_covid_open", "covid_cxr")]
)
@pytest.mark.parametrize("path", ["../../x.jpeg", "/etc/x.jpeg", "a/../../../../x.jpeg"])
def test_a_path_that_leaves_the_folder_costs_its_film_alone(real, tmp_path, folder, adapter, path):
    shutil.copytree(real / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.jp*g", "*.png"))
    table = tmp_path / folder / "metadata.csv"
    others = pd.read_csv(table)["image"][1:]
    damage(table, 2, "image", path)
    if adapter == "covid_cxr":
        boxes = pd.read_csv(tmp_path / folder / "lung_boxes.csv", dtype=str, keep_default_na=False)
        boxes[boxes["image"].isin(others)].to_csv(tmp_path / folder / "lung_boxes.csv", index=False)
    images = read(tmp_path / folder, adapter).images
    assert len(images) == len(others) + 1 and "/" not in images["image"][0]
    for at, found in enumerate(images["path"][:2]):
        with pytest.raises(ValueError, match="is missing" if at else "leaves the dataset's folder"):
            pictures.content(found, tmp_path / folder)


@pytest.mark.parametrize(
    ("folder", "adapter", "file", "column", "value", "words"),
    [
        ("cxr_kermany_pediatric", "kermany", "metadata.csv", "label", "VIRUS", ["NORMAL or PNEUMONIA"]),
        ("cxr_kermany_pediatric", "kermany", "metadata.csv", "split", "val", ["train or test"]),
        ("cxr_kermany_pediatric", "kermany", "metadata.csv", "image", "", ["a file's name"]),
        ("cxr_covid_open", "covid_cxr", "metadata.csv", "image", "a/", ["a file's name"]),
        ("cxr_kermany_pediatric", "kermany", "metadata.csv", "width", "wide", ["number of pixels"]),
        ("cxr_kermany_pediatric", "kermany", "metadata.csv", "width", "640.5", ["a whole number of pixels"]),
        ("gaze_andersson_images", "andersson", "trials.csv", "screen_w_px", "", ["a whole number of pixels"]),
        (
            "cxr_covid_open",
            "covid_cxr",
            "lung_boxes.csv",
            "image",
            "nobody.jpg",
            ["an image of metadata.csv"],
        ),
        ("gaze_andersson_images", "andersson", "fixations.csv", "trial", "nobody", ["a trial of trials.csv"]),
        ("gaze_andersson_images", "andersson", "trials.csv", "screen_w_px", "800", ["the screen 800 x 768"]),
        (
            "gaze_andersson_images",
            "andersson",
            "trials.csv",
            "image",
            "../../Rome",
            ["leaves the dataset's folder"],
        ),
    ],
)
def test_broken_tables_are_named_with_row(copy, folder, adapter, file, column, value, words):
    root = copy(folder)
    damage(root / file, 2, column, value)
    with pytest.raises(DatasetError) as caught:
        read(root, adapter)
    for word in [f"{file}: row 2", *words]:
        assert word in str(caught.value)


def test_a_bad_lung_box_leaves_no_chest(copy):
    root = copy("cxr_covid_open")
    damage(root / "lung_boxes.csv", 2, "xmax", "nan")
    found = read(root, "covid_cxr")
    assert found.boxes["kind"].value_counts().to_dict() == {"lung": 225, "chest": 112}
    (row,) = found.skipped.to_dict("records")
    assert "lung_boxes.csv: row 2" in row["reason"] and "correct or delete" in row["reason"]


def test_a_missing_photograph_and_an_unknown_coder(copy):
    root = copy("gaze_andersson_images")
    with pytest.raises(DatasetError, match=r"trials.csv: no trial of coder 'XY'; choose one of MN, RA"):
        read(root, "andersson", coder="XY")
    (root / "images" / "vy.jpg").unlink()
    with pytest.raises(DatasetError, match=r"trials.csv: row \d+: photograph 'images/vy.jpg' cannot be read"):
        read(root, "andersson")
