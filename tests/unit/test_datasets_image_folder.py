"""Class-per-folder sets: the layouts of Cats & Dogs with their traps, the stated split, real pets."""

import hashlib
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline import tables
from sightline.datasets import dataset
from sightline.errors import ConfigError, DatasetError


def read(root: Path, **options) -> dataset.Dataset:
    found = dataset.read("pets", root, "image_folder", options, {})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def picture(path: Path, width: int = 5, height: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width), np.uint8)).save(path)


def split_of(found: dataset.Dataset) -> dict[str, str]:
    return dict(zip(found.images["image"], found.images["split"]))


@pytest.fixture
def pet_images(tmp_path: Path) -> Path:
    """Cats & Dogs as Microsoft publishes it: an empty file, one that is no picture, Windows' thumbnails."""
    for label in ("Cat", "Dog"):
        for number in range(8):
            picture(tmp_path / f"PetImages/{label}/{number}.jpg", width=5 + number)
        (tmp_path / f"PetImages/{label}/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "PetImages/Cat/666.jpg").write_bytes(b"")
    (tmp_path / "PetImages/Dog/11702.jpg").write_bytes(b"<html>not found</html>")
    return tmp_path


def test_the_folders_are_the_classes_and_corrupt_files_are_counted(pet_images):
    found = read(pet_images, folder="PetImages")
    assert sorted(found.images["image"]) == [f"{label}/{n}.jpg" for label in ("Cat", "Dog") for n in range(8)]
    wide = found.labels.pivot(index="image", columns="label", values="value")
    assert list(wide.columns) == ["Cat", "Dog"] and (wide.sum(axis=1) == 1).all()
    assert wide.loc["Dog/3.jpg"].to_dict() == {"Cat": 0.0, "Dog": 1.0}
    row = found.images.set_index("image").loc["Cat/3.jpg"]
    assert (row["height"], row["width"], row["path"]) == (4, 8, "PetImages/Cat/3.jpg")
    skipped = found.skipped.set_index("item")
    assert sorted(skipped.index) == ["Cat/666.jpg", "Dog/11702.jpg"] and set(skipped["stage"]) == {"read"}
    assert "PetImages/Cat/666.jpg: the file is no picture" in skipped.loc["Cat/666.jpg", "reason"]
    flow = found.cohort[found.cohort["flow"] == "training"].sort_values("step")
    assert list(flow["images"])[:3] == [18, 18, 16]


def test_a_quarter_of_each_class_tests_in_the_order_of_the_names_hashes(pet_images):
    split = split_of(read(pet_images, folder="PetImages", validation_share=0.5))
    for label in ("Cat", "Dog"):
        names = sorted(
            (f"{label}/{n}.jpg" for n in range(8)), key=lambda n: hashlib.sha256(n.encode()).digest()
        )
        assert [split[name] for name in names] == ["test"] * 2 + ["validate"] * 3 + ["train"] * 3


def test_evaluated_are_those_that_test(pet_images):
    images = read(pet_images, folder="PetImages").images
    assert (images["evaluated"] == (images["split"] == "test")).all() and images["evaluated"].sum() == 4


def test_files_that_are_no_pictures_by_name_are_ignored(pet_images):
    before = sorted(read(pet_images, folder="PetImages").images["image"])
    for name in ("Cat/.DS_Store", "Cat/._1.jpg", ".cache/Cat/1.jpg", "__MACOSX/Cat/1.jpg", "readme.txt"):
        path = pet_images / "PetImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture")
    picture(pet_images / "PetImages/loose.jpg")  # in no class's folder
    found = read(pet_images, folder="PetImages")
    assert sorted(found.images["image"]) == before and len(found.skipped) == 2


def test_endings_in_capitals_spaces_and_unicode(tmp_path):
    names = ["a b/One Cat.JPG", "a b/ärger.png", "Käse/2.jpeg", "Käse/猫.TIFF"]
    for name in names:
        picture(tmp_path / name)
    found = read(tmp_path, test_share=0.5, validation_share=0.0)
    assert sorted(found.images["image"]) == sorted(names)
    assert set(found.labels["label"]) == {"a b", "Käse"}
    assert all((tmp_path / path).is_file() for path in found.images["path"])


def test_the_split_does_not_depend_on_the_form_of_unicode(tmp_path):
    names = [f"x/é{number}.png" for number in range(12)]
    splits = []
    for form in ("NFC", "NFD"):
        for name in names:
            picture(tmp_path / form / unicodedata.normalize(form, name))
        split = split_of(read(tmp_path / form))
        splits.append({unicodedata.normalize("NFC", name): part for name, part in split.items()})
    assert splits[0] == splits[1] and set(splits[0].values()) == {"train", "validate", "test"}


def test_links_that_lead_out_are_refused_and_those_inside_are_read(pet_images, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    picture(outside / "secret.jpg")
    cats = pet_images / "PetImages/Cat"
    (cats / "out.jpg").symlink_to(outside / "secret.jpg")
    (cats / "in.jpg").symlink_to("0.jpg")
    (pet_images / "PetImages/Bird").symlink_to(outside)
    found = read(pet_images, folder="PetImages")
    assert "Cat/in.jpg" in set(found.images["image"])
    reasons = found.skipped.set_index("path")["reason"]
    assert "leads out of the dataset's folder" in reasons["PetImages/Cat/out.jpg"]
    assert "link to a folder" in reasons["PetImages/Bird"]
    assert not found.images["path"].str.contains("out|Bird").any()


def test_the_datasets_folder_itself_may_be_a_link(pet_images, tmp_path_factory):
    link = tmp_path_factory.mktemp("data") / "pets"
    link.symlink_to(pet_images)
    assert len(read(link, folder="PetImages").images) == 16


def test_a_name_that_is_no_text_is_skipped(pet_images):
    try:
        with open(os.fsencode(pet_images / "PetImages/Cat/") + b"caf\xe9.jpg", "wb") as file:
            file.write(b"")
    except OSError:
        pytest.skip("this file system takes no such name")
    skipped = read(pet_images, folder="PetImages").skipped
    assert skipped["reason"].str.contains("no text").sum() == 1 and len(skipped) == 3


def test_the_competitions_layout_by_a_pattern(tmp_path):
    for label in ("cat", "dog"):
        for number in range(4):
            picture(tmp_path / f"train/{label}.{number}.jpg")
    for number in range(3):
        picture(tmp_path / f"test1/{number}.jpg")  # without a class
    found = read(tmp_path, name_pattern=r"train/(?P<label>cat|dog)\.\d+\.jpg")
    assert found.images["image"].str.startswith("train/").all() and len(found.images) == 8
    assert set(found.labels["label"]) == {"cat", "dog"}
    assert list(found.cohort[found.cohort["flow"] == "evaluation"].sort_values("step")["images"])[:2] == [
        11,
        8,
    ]


def test_a_pattern_may_name_split_and_subject(tmp_path):
    for part in ("training", "test"):
        for label in ("a", "b"):
            for number in range(4):
                picture(tmp_path / f"{part}/{label}/{part}{label}{number // 2}_{number}.png")
    pattern = r"(?P<split>[^/]+)/(?P<label>[^/]+)/(?P<subject>[^_]+)_.*"
    found = read(tmp_path, name_pattern=pattern, validation_share=0.5)
    images = found.images
    assert images.groupby("subject")["split"].nunique().max() == 1 and images["subject"].nunique() == 8
    assert images["split"].value_counts().to_dict() == {"test": 8, "train": 4, "validate": 4}
    assert set(images["upstream_split"]) == {"training", "test"}
    assert (images[images["split"] == "test"]["upstream_split"] == "test").all()


def test_folders_named_as_splits_are_no_classes(tmp_path):
    for part in ("train", "val"):
        picture(tmp_path / f"{part}/Cat/1.jpg")
    with pytest.raises(DatasetError, match=r"train, val are splits.*name_pattern: \(\?P<split>"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "message"), [("(?P<label>", "correct the expression"), ("(.*)/.*", "has no group")]
)
def test_patterns_that_cannot_be(pet_images, pattern, message):
    with pytest.raises(ConfigError, match=message):
        read(pet_images, name_pattern=pattern)


def test_a_pattern_that_matches_nothing(pet_images):
    with pytest.raises(DatasetError, match="of 18 has a class"):
        read(pet_images, name_pattern="(?P<label>bird)/.*")


def test_an_unknown_split_and_a_subject_in_two_splits(tmp_path):
    for part in ("train", "test"):
        picture(tmp_path / f"{part}/a/one_{part}.png")
    with pytest.raises(DatasetError, match="subject 'one' is in more than one split"):
        read(tmp_path, name_pattern="(?P<split>[^/]+)/(?P<label>[^/]+)/(?P<subject>[^_]+)_.*")
    picture(tmp_path / "holdout/a/two_x.png")
    with pytest.raises(DatasetError, match="split 'holdout' is none of"):
        read(tmp_path, name_pattern="(?P<split>[^/]+)/(?P<label>[^/]+)/.*")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="no picture"):
        read(tmp_path / "nowhere")


# ---- with a table


def table(root: Path, text: str) -> Path:
    (root / "list.csv").write_text(text)
    return root


def test_a_table_gives_classes_subjects_splits_and_strata(tmp_path):
    for number in range(4):
        picture(tmp_path / f"pictures/{number}.png")
    rows = [
        "0.png,cat,tom,train,old",
        "1.png,cat,tom,train,old",
        "2.png,dog,rex,val,new",
        "3.png,dog,bo,test,new",
    ]
    table(tmp_path, "file,what,who,part,era\n" + "\n".join([*rows, "9.png,dog,zed,test,new"]) + "\n")
    columns = {"image": "file", "label": "what", "subject": "who", "split": "part", "strata": ["era"]}
    found = read(tmp_path, table="list.csv", table_images="pictures", columns=columns)
    assert split_of(found) == {
        "pictures/0.png": "train", "pictures/1.png": "train", "pictures/2.png": "validate",
        "pictures/3.png": "test",
    }  # fmt: skip
    assert dict(zip(found.strata["image"], found.strata["value"]))["pictures/2.png"] == "new"
    assert set(found.strata["stratum"]) == {"era"}
    assert list(found.skipped["item"]) == ["pictures/9.png"]
    assert "is missing; put it there" in found.skipped["reason"].iloc[0]
    assert dataset.sources(tmp_path, "image_folder", {"table": "list.csv"}, {}) == [tmp_path / "list.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,what\n0.png,cat\n0.png,dog\n", "row 3: file is '0.png'.*each value once"),
        ("file,what\n0.png,\n", "row 2: what is ''.*expected a class"),
        ("file\n0.png\n", "lacks the column"),
    ],
)
def test_tables_that_cannot_be(tmp_path, text, message):
    picture(tmp_path / "0.png")
    with pytest.raises(DatasetError, match=message):
        read(table(tmp_path, text), table="list.csv", columns={"image": "file", "label": "what"})


# ---- real


def test_the_real_pets(real):
    root = real / "pets_oxford"
    columns = {"label": "species", "strata": ["breed"]}
    found = read(root, table="images.csv", table_images="images", columns=columns)
    plain = pd.read_csv(root / "images.csv")
    sizes = {f"images/{row.image}": (row.height, row.width) for row in plain.itertuples()}
    assert {row.image: (row.height, row.width) for row in found.images.itertuples()} == sizes
    assert found.labels[found.labels["value"] == 1]["label"].value_counts().to_dict() == {"cat": 18, "dog": 8}
    tested = found.images[found.images["split"] == "test"]["image"]
    species = dict(zip("images/" + plain["image"], plain["species"]))
    assert pd.Series([species[image] for image in tested]).value_counts().to_dict() == {"cat": 4, "dog": 2}
    assert found.strata["value"].nunique() == 7 and found.skipped.empty


def test_the_real_pets_by_their_names_alone(real):
    pattern = r"images/(?P<label>[A-Za-z_]+)_\d+\.jpg"
    found = read(real / "pets_oxford", name_pattern=pattern)
    assert len(found.images) == 26 and found.labels["label"].nunique() == 7
