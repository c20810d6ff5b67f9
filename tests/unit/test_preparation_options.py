"""What a dataset's `preparation` says: fits, regions found and cut out, mirroring, colours, DICOM, idx."""

import functools
import gzip
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline.datasets import rle
from sightline.errors import ConfigError
from sightline.frames import Frame, resample, scoring_frame
from sightline.prepared import Store
from sightline.preparing import grids, pictures
from sightline.preparing.preparation import Preparation
from sightline.study import preparing
from tests.unit import dicom_files
from tests.unit.test_breast import film, labelled, overlap, truth
from tests.unit.test_preparation import images_table, prepared_in

EVERY = [
    Preparation(fit=fit, find="breast", crop=crop, orient=orient)
    for fit in grids.FITS
    for crop in (False, True)
    for orient in ("as_stored", "left")
]


def run(images: pd.DataFrame, root: Path, how: Preparation, sides=(64,), workers: int = 1):
    """(tables, store) of a preparation."""
    made = prepared_in(root / "out", images, root, list(sides), how=how, workers=workers)
    return made, Store(made["prepared"], np.load(root / "out" / "pixels.npy"))


@functools.cache
def mammogram(right: bool) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of a drawn mammogram with a label, and where its breast is; (1100, 800)."""
    inside = truth(right=right)
    values = labelled(film(truth()))
    return np.rint(values[:, ::-1] if right else values).astype(np.uint8), inside


SPOTS = {"left": (75, 250), "right": (305, 320)}  # x, y of a spot of 25 x 25, in the tissue


@pytest.fixture(scope="module")
def mammograms(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """Two breasts, 550 x 400, with a spot, each as PNG and as DICOM, for training and for testing."""
    folder, rows = tmp_path_factory.mktemp("mammograms"), []
    for name, (x, y) in SPOTS.items():
        values = mammogram(name == "right")[0][::2, ::2] // 4
        values[y - 12 : y + 13, x - 12 : x + 13] = 255
        Image.fromarray(values).save(folder / f"{name}.png")
        (folder / f"{name}.dcm").write_bytes(dicom_files.content(values.astype(np.uint16) * 16))
        rows += [
            (f"{name}.{kind}", split, (550, 400)) for kind in ("png", "dcm") for split in ("train", "test")
        ]
    images = images_table(rows)
    return folder, images.assign(image=images["path"] + " " + images["split"])


@pytest.mark.parametrize("how", EVERY, ids=lambda how: f"{how.fit}-{how.crop}-{how.orient}")
def test_a_frame_says_where_the_pixels_lie(how, mammograms):
    """A bright spot in a mammogram, moved by the frame, is the spot in the store; and back again."""
    made, store = run(mammograms[1], mammograms[0], how)
    for image in mammograms[1].itertuples():
        name, geometry = Path(image.path).stem, "train" if image.split == "train" else "explain"
        pixels, frame = store.get(image.image, 64, geometry), store.frame(image.image, 64, geometry)
        assert pixels.shape == frame.shape
        assert pixels.shape == (64, 64) or how.fit == "crop"
        assert (frame.scale[0] < 0) == (how.orient == "left" and name == "right")
        bright = np.clip(pixels.astype(float) - 80, 0, None)
        rows, columns = np.indices(pixels.shape)
        centre = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
        np.testing.assert_allclose(centre, np.array(frame.scale) * SPOTS[name] + frame.shift, atol=0.1)
        back = resample(pixels, frame, Frame.of_image((550, 400)))
        x, y = SPOTS[name]
        assert back[y, x] > 150 and back[y, x - 40] < 90
        if how.crop and how.fit == "stretch":  # the box fills the square
            box = made["boxes"].set_index("image").loc[image.image]
            edges = (np.array([box["xmin"], box["xmax"]]) - 0.5) * frame.scale[0] + frame.shift[0]
            np.testing.assert_allclose(sorted(edges), [-0.5, 63.5], atol=0.3)


def test_what_is_found_becomes_a_box_and_a_mask(tmp_path):
    for name, right in (("left.png", False), ("right.png", True)):
        Image.fromarray(mammogram(right)[0]).save(tmp_path / name)
    Image.new("L", (800, 1100), 9).save(tmp_path / "none.png")
    names = ("left.png", "right.png", "none.png")
    images = images_table([(name, "test", (1100, 800)) for name in names])
    made, store = run(images, tmp_path, Preparation(find="breast", crop=True))
    assert made["boxes"]["image"].tolist() == made["masks"]["image"].tolist() == ["left", "right"]
    assert set(made["boxes"]["kind"]) == set(made["masks"]["kind"]) == {"breast"}
    assert (made["boxes"][["reader", "label"]] == "").all(axis=None)
    for row in made["masks"].itertuples():
        mask = rle.decode(row.data, (row.height, row.width))
        assert max(mask.shape) == 256
        inside = mammogram(row.image == "right")[1]
        nearest = resample(
            mask, Frame.resized((1100, 800), mask.shape), Frame.of_image((1100, 800)), "nearest"
        )
        assert (inside & (nearest > 0)).sum() / (inside | (nearest > 0)).sum() > 0.97
    # the picture without tissue stays whole, and is told of without counting as refused
    (told,) = made["skipped"].to_dict("records")
    assert (told["stage"], told["item"]) == ("reading", "none")
    assert "no breast was found" in told["reason"]
    assert store.get("none", 64, "explain").shape == (96, 96)
    # the label lies outside the box: nothing as bright is left
    assert store.get("left", 64, "explain").max() < 250


@pytest.mark.parametrize("fit", grids.FITS)
def test_maps_of_a_mirrored_breast_come_back_mirrored(fit, tmp_path):
    """A right breast is prepared as its mirror image is; a map on cells of the grid comes back to it."""
    for name, right in (("left.png", False), ("right.png", True)):
        Image.fromarray(mammogram(right)[0]).save(tmp_path / name)
    images = images_table([(name, "test", (1100, 800)) for name in ("left.png", "right.png")])
    _, store = run(images, tmp_path, Preparation(fit=fit, find="breast", crop=True, orient="left"))
    np.testing.assert_array_equal(store.get("left", 64, "explain"), store.get("right", 64, "explain"))
    values = np.random.default_rng(0).random((7, 7))
    scoring = scoring_frame((1100, 800), 0.1)
    found = {}
    for name in ("left", "right"):
        placed = store.frame(name, 64, "explain")
        cells = placed.then(Frame.resized(placed.shape, values.shape))
        found[name] = resample(values, cells, scoring)
    np.testing.assert_allclose(found["right"], found["left"][:, ::-1], atol=1e-12)
    assert np.abs(found["right"] - found["left"]).max() > 0.1


def test_fits(tmp_path):
    """A picture of 40 x 20: what each fit makes of it at side 16."""
    values = np.random.default_rng(0).integers(1, 256, (40, 20), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "x.png")
    picture = Image.fromarray(values)
    for split, geometry, shape in (("train", "train", (32, 16)), ("test", "explain", (32, 32))):
        images = images_table([("x.png", split, (40, 20))])
        stored = {
            fit: run(images, tmp_path, Preparation(fit=fit), [16])[1].get("x", 16, geometry)
            for fit in grids.FITS
        }
        assert stored["crop"].shape == shape
        squeezed = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(stored["stretch"], squeezed)
        assert stored["pad"].shape == (16, 16)
        whole = np.asarray(picture.resize((8, 16), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(stored["pad"][:, 4:12], whole)
        assert not stored["pad"][:, :4].any() and not stored["pad"][:, 12:].any()
        for fit in grids.FITS:
            assert grids.explained_shape((40, 20), 16, fit) == (stored[fit].shape if split == "test" else ANY)


class _Any:
    def __eq__(self, other: object) -> bool:
        return True


ANY = _Any()


def test_dicom_is_rounded_once_after_it_was_resized(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (90, 70)).astype(np.uint16)
    (tmp_path / "x.dcm").write_bytes(dicom_files.content(values))
    images = images_table([("x.dcm", "test", (90, 70))])
    _, store = run(images, tmp_path, Preparation(fit="stretch"), [16])
    spread = ((values - float(values.min())) / float(np.ptp(values))).astype(np.float32)
    expected = Image.fromarray(spread).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(
        store.get("x", 16, "explain"), np.rint(np.asarray(expected) * 255).astype(np.uint8)
    )


def test_colours_are_kept_or_become_luma(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    files = {
        "colours.png": Image.fromarray(colours),
        "grey.png": Image.fromarray(colours[..., 0]),
        "palette.png": Image.fromarray(colours).quantize(64),
        "opaque.png": Image.fromarray(np.dstack([colours, np.full((40, 30), 255, np.uint8)])),
    }
    for name, image in files.items():
        image.save(tmp_path / name)
    (tmp_path / "film.dcm").write_bytes(dicom_files.content(colours[..., 0]))
    images = images_table([(name, "test", (40, 30)) for name in (*files, "film.dcm")])
    for fit in grids.FITS:
        made, store = run(images, tmp_path, Preparation(fit=fit, colour="rgb"), [16])
        assert made["skipped"].empty
        assert all(list(shape)[2:] == [3] for shape in made["prepared"]["shape"])
        for name, image in files.items():
            rgb = image.convert("RGB")
            for channel in range(3):
                expected, frame = grids.fitted(rgb.getchannel(channel), 16, "explain", fit)
                stem = name.partition(".")[0]
                np.testing.assert_array_equal(store.get(stem, 16, "explain")[..., channel], expected)
                assert store.frame(stem, 16, "explain") == frame
        film = store.get("film", 16, "explain")
        assert (film == film[..., :1]).all() and film.any()
        _, grey = run(images, tmp_path, Preparation(fit=fit), [16])
        luma, _ = grids.fitted(files["colours.png"].convert("L"), 16, "explain", fit)
        np.testing.assert_array_equal(grey.get("colours", 16, "explain"), luma)


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">I{values.ndim}I", 0x0800 | values.ndim, *values.shape) + values.tobytes()


def test_pictures_in_a_container(tmp_path, monkeypatch):
    digits = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    packed = gzip.compress(idx_bytes(digits))
    (tmp_path / "digits.idx.gz").write_bytes(packed)
    Image.fromarray(digits[0]).save(tmp_path / "a#1", "png")  # a file's name may look like a record's
    rows = [(f"digits.idx.gz#{number}", "test", (28, 28)) for number in range(30)]
    images = images_table([*rows, ("a#1", "test", (28, 28)), ("digits.idx.gz#30", "test", (28, 28))])
    images["image"] = images["path"]
    opened = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read(path))
    made, store = run(images, tmp_path, Preparation(fit="stretch"), [28])
    assert opened.count("digits.idx.gz") == 1
    for number in range(30):
        np.testing.assert_array_equal(store.get(f"digits.idx.gz#{number}", 28, "explain"), digits[number])
    np.testing.assert_array_equal(store.get("a#1", 28, "explain"), digits[0])
    inventory = made["inventory"].set_index("path")["sha256"].to_dict()
    assert set(inventory) == {"a#1", "digits.idx.gz"}
    assert inventory["digits.idx.gz"] == hashlib.sha256(packed).hexdigest()
    (refused,) = made["skipped"].to_dict("records")
    assert "has no record 30; it holds 30" in refused["reason"]
    # another file of that name is another container
    (tmp_path / "digits.idx.gz").write_bytes(gzip.compress(idx_bytes(digits[::-1])))
    _, store = run(images.iloc[:1], tmp_path, Preparation(fit="stretch"), [28])
    np.testing.assert_array_equal(store.get("digits.idx.gz#0", 28, "explain"), digits[-1])


def test_bytes_do_not_depend_on_workers(tmp_path):
    for number in range(7):
        values = np.random.default_rng(number).integers(0, 4096, (60, 40)).astype(np.uint16)
        (tmp_path / f"{number}.dcm").write_bytes(dicom_files.content(values))
    images = images_table([(f"{number}.dcm", "test", (60, 40)) for number in range(7)])
    how = Preparation(find="breast", crop=True)
    found = []
    for workers in (1, 2, 3):
        made, _ = run(images, tmp_path, how, [16, 32], workers)
        pixels = (tmp_path / "out" / "pixels.npy").read_bytes()
        found.append([pixels, *(table.to_csv() for table in made.values())])
    assert found[0] == found[1] == found[2]


MEMORY = """
import resource, sys
from pathlib import Path
from tests.unit.test_preparation import images_table, prepared_in
from sightline.preparing.preparation import Preparation
folder, count = Path(sys.argv[1]), int(sys.argv[2])
images = images_table([(f"{number}.dcm", "test", (2200, 1800)) for number in range(count)])
how = Preparation(find="breast", crop=True)
if count:
    made = prepared_in(folder / "out", images, folder, [64], how=how)
    assert len(made["prepared"]) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_one_picture_is_held_at_a_time(tmp_path):
    """A worker that prepares twelve mammograms needs no more memory than one that prepares three."""
    values = (mammogram(False)[0].astype(np.uint16) * 16).repeat(2, axis=0).repeat(3, axis=1)[:, :1800]
    (tmp_path / "0.dcm").write_bytes(dicom_files.content(values))
    for number in range(1, 12):
        (tmp_path / f"{number}.dcm").hardlink_to(tmp_path / "0.dcm")
    root = Path(__file__).resolve().parents[2]

    def peak(count: int) -> float:
        command = [sys.executable, "-c", MEMORY, str(tmp_path), str(count)]
        environment = {"PYTHONPATH": f"{root}/src:{root}", "PATH": "", "OMP_NUM_THREADS": "1"}
        return int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout) / 1024

    nothing, few, many = peak(0), peak(3), peak(12)
    picture = values.nbytes / 2**20  # 7.6 MiB of 16 bits
    assert many - few < picture
    assert few - nothing < 12 * picture + 40  # and what pydicom and scipy take


def test_needs_are_checked_before_anything_runs():
    whole = preparing.completed({}, "datasets.x.preparation")
    assert Preparation(**whole) == Preparation()
    for given, words in (
        ({"crop": True}, r"datasets\.x\.preparation\.crop: true needs a region .*find: breast"),
        ({"orient": "left"}, r"preparation\.orient: left needs a region"),
        (
            {"fit": "squeeze"},
            r"preparation\.fit: 'squeeze' is none of the allowed values: crop, stretch, pad",
        ),
        ({"fitt": "pad"}, r"did you mean 'fit'"),
    ):
        with pytest.raises(ConfigError, match=words):
            preparing.completed(given, "datasets.x.preparation")


def test_an_unreadable_dicom_is_a_row(tmp_path):
    whole = dicom_files.content(np.arange(4800, dtype=np.uint16).reshape(80, 60))
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.dcm").write_text("<html>login</html>")
    (tmp_path / "unnamed").write_bytes(whole)  # known by its content
    images = images_table([(name, "test", (80, 60)) for name in ("cut.dcm", "text.dcm", "unnamed")])
    made, _ = run(images, tmp_path, Preparation())
    assert made["prepared"]["image"].tolist() == ["unnamed"]
    reasons = made["skipped"].set_index("item")["reason"]
    assert "cut.dcm: is damaged" in reasons["cut"] and "text.dcm: is not a DICOM file" in reasons["text"]
    assert len(made["inventory"]) == 3


def test_overlap_of_the_tests_is_a_measure():
    """What the tests of regions rest on."""
    from sightline.preparing.breast import Tissue

    inside = np.zeros((8, 8), dtype=bool)
    inside[:4] = True
    assert overlap(Tissue(inside[::2, ::2], (0, 0, 8, 4)), inside) == 1.0
    assert overlap(Tissue(inside[::2, ::2].T, (0, 0, 4, 8)), inside) == pytest.approx(1 / 3)


def test_content_outside_the_folder_is_refused(tmp_path):
    for path in ("../x.idx#3", "/x.dcm"):
        with pytest.raises(ValueError, match="leaves the dataset's folder"):
            pictures.content(path, tmp_path)
