"""The adapter of MNIST: both layouts, names and splits, files that do not fit, and the real 10,000 digits."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from sightline import tables
from sightline.datasets import dataset
from sightline.errors import DatasetError


def read(root: Path, **options) -> dataset.Dataset:
    found = dataset.read("digits", root, "mnist", options, {})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def write(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    data = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def pair(root: Path, part: str, digits: list[int], ending: str = ".gz", dash: str = "-") -> None:
    write(root / f"{part}-images{dash}idx3-ubyte{ending}", np.zeros((len(digits), 6, 5)))
    write(root / f"{part}-labels{dash}idx1-ubyte{ending}", np.array(digits))


def test_a_digit_has_one_of_ten_labels_its_own_subject_and_a_number_in_its_file(tmp_path):
    pair(tmp_path, "t10k", [3, 0, 9, 3, 1])
    found = read(tmp_path)
    images = found.images.sort_values("image", ignore_index=True)
    assert list(images["path"]) == [f"t10k-images-idx3-ubyte.gz#{number}" for number in range(5)]
    assert list(images["image"]) == [f"t10k_{number:05d}" for number in range(5)]
    assert (images["subject"] == images["image"]).all()
    assert set(images["height"]) == {6} and set(images["width"]) == {5}
    wide = found.labels.pivot(index="image", columns="label", values="value")
    assert list(wide.columns) == list("0123456789")
    assert wide.to_numpy().argmax(axis=1).tolist() == [3, 0, 9, 3, 1] and (wide.sum(axis=1) == 1).all()
    assert dict(zip(found.strata["image"], found.strata["value"]))["t10k_00002"] == "9"


def test_the_published_split_holds_where_both_files_are_there(tmp_path):
    pair(tmp_path, "train", list(range(10)) * 2)
    pair(tmp_path, "t10k", list(range(10)))
    images = read(tmp_path, validation_share=0.25).images
    assert images["split"].value_counts().to_dict() == {"train": 15, "validate": 5, "test": 10}
    assert (images["image"].str.startswith("t10k") == (images["split"] == "test")).all()
    assert (images["evaluated"] == (images["split"] == "test")).all()
    assert (images["upstream_split"] == images["split"].replace("validate", "train")).all()


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_one_file_alone_is_split_by_the_hash_of_the_names(tmp_path, part):
    pair(tmp_path, part, list(range(10)) * 2)
    split = read(tmp_path, test_share=0.2, validation_share=0.25).images.set_index("image")["split"]
    names = sorted(split.index, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert split[names].tolist() == ["test"] * 4 + ["validate"] * 4 + ["train"] * 12


@pytest.mark.parametrize(("ending", "dash"), [("", "-"), (".gz", "-"), ("", "."), (".gz", ".")])
def test_raw_or_gzipped_under_either_name(tmp_path, ending, dash):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    pair(tmp_path / "MNIST/raw", "t10k", [1, 2, 3], ending, dash)
    images = read(tmp_path, folder="MNIST/raw").images
    assert sorted(images["path"])[0] == f"MNIST/raw/t10k-images{dash}idx3-ubyte{ending}#0"
    sources = dataset.sources(tmp_path, "mnist", {"folder": "MNIST/raw"}, {})
    assert sorted(sources) == sorted((tmp_path / "MNIST/raw").iterdir())


def test_without_files_the_published_names_are_asked_for(tmp_path):
    names = [path.name for path in dataset.sources(tmp_path, "mnist", {}, {})]
    assert names == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    with pytest.raises(DatasetError, match="t10k-images-idx3-ubyte.gz: missing"):
        read(tmp_path)


def test_a_file_without_its_labels(tmp_path):
    pair(tmp_path, "t10k", [1, 2, 3])
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte.gz: missing"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("labels-idx1", np.array([1, 2]), "t10k-labels-idx1-ubyte.gz: holds 2 labels.*3 pictures"),
        ("labels-idx1", np.array([1, 12, 3]), r"label 1 \(from 0\) is 12, expected 0 to 9"),
        ("labels-idx1", np.zeros((3, 2, 2)), "holds 3 x 2 x 2 labels"),
        ("images-idx3", np.zeros(3), "t10k-images-idx3-ubyte.gz: has 1 axes, expected 3"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, name, values, message):
    pair(tmp_path, "t10k", [1, 2, 3])
    write(tmp_path / f"t10k-{name}-ubyte.gz", values)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    pair(tmp_path, "t10k", [1, 2, 3], ending="")
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="t10k-images-idx3-ubyte: holds fewer"):
        read(tmp_path)


def test_the_real_digits(real):
    known = {
        "images-idx3": "2646ac647ad5339dbf082846283269ea",
        "labels-idx1": "27ae3e4e09519cfbb04c329615203637",
    }
    for what, digest in known.items():  # gzip wrappers differ from source to source, their content does not
        data = gzip.decompress((real / f"mnist_idx/t10k-{what}-ubyte.gz").read_bytes())
        assert hashlib.md5(data).hexdigest() == digest
    found = read(real / "mnist_idx")
    split = found.images["split"].value_counts().to_dict()
    assert split == {"train": 7200, "validate": 800, "test": 2000}
    digits = found.strata["value"].value_counts().to_dict()
    known = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # the published test set's
    assert digits == {str(digit): count for digit, count in enumerate(known)}
    assert set(zip(found.images["height"], found.images["width"])) == {(28, 28)}
    first = found.strata.set_index("image")["value"].sort_index()[:10]
    assert first.tolist() == list("7210414959")  # as every tutorial shows them
