"""Decoding once: the authors' pixels, frames that say where they lie, refusals with reasons, the gate."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline import tables
from sightline.errors import DatasetError, TableError
from sightline.frames import Frame, resample
from sightline.prepared import open_store
from sightline.preparing import preparation
from sightline.preparing.grids import explain_grid, train_grid
from sightline.preparing.pictures import read_grey
from sightline.preparing.preparation import check_inputs

SMOOTH = np.add.outer(np.arange(90), 1.5 * np.arange(70)).astype(np.uint8)  # (90, 70), no wrap


def images_table(rows: list[tuple[str, str, tuple[int, int]]]) -> pd.DataFrame:
    """Rows of table images from (path, split, (height, width)); the image is the path's stem."""
    return pd.DataFrame(
        [
            {
                "dataset": "made_up",
                "image": Path(path).stem,
                "subject": path,
                "study": None,
                "upstream_split": split,
                "split": split,
                "evaluated": False,
                "path": path,
                "height": shape[0],
                "width": shape[1],
                "view": None,
                "spacing_y": None,
                "spacing_x": None,
            }
            for path, split, shape in rows
        ]
    )


@pytest.mark.parametrize("name", ["a", "c"])
def test_explain_geometry_is_the_authors(golden, name):
    arrays = np.load(golden / "models" / "io.npz", allow_pickle=False)
    pixels, _ = explain_grid(Image.fromarray(arrays[f"img_{name}"]), 224)
    np.testing.assert_array_equal(pixels, arrays[f"val_padded_u8_{name}"])


@pytest.mark.parametrize(
    ("shape", "side", "square"), [((3056, 2544), 224, 272), ((2544, 3056), 224, 272), ((100, 100), 64, 64)]
)
def test_explain_square_is_a_multiple_of_16(shape, side, square):
    pixels, frame = explain_grid(Image.fromarray(np.full(shape, 9, np.uint8)), side)
    assert pixels.shape == frame.shape == (square, square)
    long, short = max(shape), min(shape)
    assert (pixels > 0).sum() == square * round(short * square / long)


def test_train_geometry_is_torchvisions():
    transforms = pytest.importorskip("torchvision.transforms")
    generator = np.random.default_rng(0)
    for shape in [(90, 70), (70, 91), (64, 64), (301, 257)]:
        image = Image.fromarray(generator.integers(0, 255, shape, dtype=np.uint8))
        expected = np.asarray(transforms.Resize(32)(image))
        pixels, frame = train_grid(image, 32)
        np.testing.assert_array_equal(pixels, expected)
        assert frame.shape == pixels.shape


@pytest.mark.parametrize("grid", [train_grid, explain_grid])
@pytest.mark.parametrize("shape", [(90, 70), (70, 90), (80, 80)])
def test_a_frame_says_where_the_pixels_lie(grid, shape):
    """A bright spot's centre of mass, moved by the frame, is the spot in the store."""
    spot = np.zeros(shape)
    spot[38:45, 22:31] = 255.0  # centre (26, 41)
    pixels, frame = grid(Image.fromarray(spot.astype(np.uint8)), 64)
    rows, columns = np.indices(pixels.shape)
    centre = np.array([(pixels * columns).sum(), (pixels * rows).sum()]) / pixels.sum()
    np.testing.assert_allclose(centre, np.array(frame.scale) * [26, 41] + frame.shift, atol=0.05)
    back = resample(pixels, frame, Frame.of_image(shape))
    assert back[41, 26] > 200 and back[5, 5] == 0


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Forty good films of three splits."""
    rows = []
    generator = np.random.default_rng(1)
    for number in range(40):
        shape = (50 + number, 70 - number // 2)
        name = f"film{number:02}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(generator.integers(0, 255, shape, dtype=np.uint8)).save(tmp_path / name)
        rows.append((name, ("train", "validate", "test")[number % 3], shape))
    return tmp_path, images_table(rows)


def files_in(folder: Path) -> dict[str, Path]:
    """The outputs of rule `prepare`, in `folder`."""
    names = {output: folder / f"{table}.parquet" for table, output in preparation.OUTPUTS.items()}
    return names | {"pixels": folder / "pixels.npy"}


def prepared_in(folder: Path, images: pd.DataFrame, root: Path, sides: list[int], **how) -> dict:
    """The tables by name that `prepare` writes into `folder`."""
    files = files_in(folder)
    preparation.prepare(images, root, sides, files, **how)
    return {table: tables.read(table, files[output]) for table, output in preparation.OUTPUTS.items()}


def run(images: pd.DataFrame, root: Path, store: Path, sides: list[int], workers: int = 1) -> tuple:
    made = prepared_in(store, images, root, sides, workers=workers)
    assert made["boxes"].empty and made["masks"].empty  # nothing was looked for
    return made["prepared"], made["inventory"], made["skipped"]


def test_bytes_do_not_depend_on_workers_or_row_order(folder, tmp_path):
    root, images = folder
    digests = set()
    for name, workers, table in [("one", 1, images), ("two", 2, images), ("turned", 1, images[::-1])]:
        prepared, _, _ = run(table, root, tmp_path / name, [32, 16], workers)
        pixels = (tmp_path / name / "pixels.npy").read_bytes()
        digests.add(hashlib.sha256(pixels + prepared.to_csv().encode()).hexdigest())
    assert len(digests) == 1


def test_the_store_gives_back_what_was_prepared(folder, tmp_path):
    root, images = folder
    prepared, inventory, skipped = run(images, root, tmp_path / "out", [16, 32])
    tables.write("prepared", prepared, tmp_path / "out" / "prepared.parquet")
    store = open_store(tmp_path / "out" / "prepared.parquet", tmp_path / "out" / "pixels.npy")
    assert skipped.empty and len(inventory) == 40 and len(prepared) == 80
    for row in images.itertuples():
        with Image.open(root / row.path) as image:
            for side in (16, 32):
                geometry, grid = ("train", train_grid) if row.split == "train" else ("explain", explain_grid)
                pixels, frame = grid(image, side)
                np.testing.assert_array_equal(store.get(row.image, side, geometry), pixels)
                assert store.frame(row.image, side, geometry) == frame
        digest = hashlib.sha256((root / row.path).read_bytes()).hexdigest()
        assert inventory.set_index("path").loc[row.path, "sha256"] == digest
    assert store.images(16, "train") == sorted(images[images["split"] == "train"]["image"])
    with pytest.raises(TableError, match=r"'film00' was not prepared at side 64 .*'skipped' for the reason"):
        store.get("film00", 64, "train")


def truncated(path: Path) -> None:
    Image.fromarray(SMOOTH).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def several(path: Path) -> None:
    Image.fromarray(SMOOTH).save(path, save_all=True, append_images=[Image.fromarray(SMOOTH)])


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SMOOTH).save(path, exif=exif)


def transparent(path: Path) -> None:
    Image.fromarray(np.dstack([SMOOTH, SMOOTH, SMOOTH, SMOOTH])).save(path)


def bomb(path: Path) -> None:
    Image.new("1", (10_000, 8_500)).save(path)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("x.jpg", truncated, ["x.jpg: is damaged", "truncated", "take it again"]),
        ("x.png", truncated, ["x.png: is damaged", "take it again"]),
        (
            "x.jpg",
            lambda path: path.write_text("<html>not found</html>"),
            ["is not an image", "replace the file"],
        ),
        ("x.jpg", lambda path: path.write_bytes(b""), ["is not an image", "replace the file"]),
        ("x.jpg", lambda path: None, ["x.jpg: the file is missing; put it there"]),
        (
            "x.png",
            lambda path: Image.fromarray(SMOOTH.T).save(path),
            ["is 90 x 70", "says 70 x 90", "correct"],
        ),
        ("x.tif", several, ["holds 2 pictures", "split it"]),
        ("x.jpg", turned, ["EXIF", "store it upright"]),
        ("x.png", transparent, ["'RGBA'", "RGB without transparency"]),
        ("x.png", bomb, ["more than 80000000 pixels", "reduce it"]),
        ("x.gif", lambda path: Image.fromarray(SMOOTH).save(path), ["is not an image of type JPEG"]),
        ("../x.png", lambda path: None, ["leaves the dataset's folder"]),
    ],
)
def test_a_bad_file_is_a_row_not_an_exception(tmp_path, name, make, words):
    make(tmp_path / name)
    Image.fromarray(SMOOTH).save(tmp_path / "good.png")
    images = images_table([("good.png", "train", (90, 70)), (name, "test", (90, 70))])
    prepared, _, skipped = run(images, tmp_path, tmp_path / "out", [16])
    assert prepared["image"].tolist() == ["good"]
    (row,) = skipped.to_dict("records")
    assert (row["stage"], row["item"], row["path"]) == ("prepare", "x", name)
    for word in words:
        assert word in row["reason"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Image.fromarray(SMOOTH),
        lambda: Image.fromarray(np.dstack([SMOOTH] * 3)),
        lambda: Image.fromarray(np.dstack([SMOOTH] * 3 + [np.full_like(SMOOTH, 255)])),
        lambda: Image.fromarray(SMOOTH).convert("P"),
        lambda: Image.fromarray((SMOOTH.astype(np.uint16) - SMOOTH.min()) * 16),
    ],
)
def test_kinds_of_grey_agree(tmp_path, make):
    """Equal channels, opaque alpha, a palette, and 12 bits in 16: all the same picture."""
    make().save(tmp_path / "x.png")
    grey = np.asarray(read_grey((tmp_path / "x.png").read_bytes(), SMOOTH.shape)).astype(float)
    low, high = grey.min(), grey.max()
    expected = (SMOOTH - SMOOTH.min()) / (SMOOTH.max() - SMOOTH.min())
    np.testing.assert_allclose((grey - low) / (high - low), expected, atol=1.01 / 255)


def test_a_sliver_is_refused_and_small_films_are_not(tmp_path):
    """Its grid at side 224 would hold 12 billion pixels."""
    files = {"sliver.png": (1, 500), "dot.png": (1, 1), "line.png": (1, 16)}
    for name, shape in files.items():
        Image.new("L", shape[::-1]).save(tmp_path / name)
    images = images_table([(name, "test", shape) for name, shape in files.items()])
    prepared, _, skipped = run(images, tmp_path, tmp_path / "out", [16])
    assert skipped["path"].tolist() == ["sliver.png"]
    assert "16 times as long as wide; crop it" in skipped["reason"].iloc[0]
    assert [list(shape) for shape in prepared["shape"]] == [[16, 16], [256, 256]]


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "bmp"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_escapes_as_an_exception(kind):
    """Bytes changed at random: a picture, or a reason in words."""
    whole = io.BytesIO()
    Image.fromarray(SMOOTH).save(whole, kind)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        content = np.frombuffer(whole.getvalue(), np.uint8).copy()
        reach = len(content) if random.random() < 0.3 else min(200, len(content))
        content[random.integers(0, reach, 3)] = random.integers(0, 256, 3)
        try:
            assert read_grey(content.tobytes(), SMOOTH.shape).mode == "L"
        except ValueError:
            refused += 1
    assert refused > 5


def test_nothing_good(tmp_path):
    images = images_table([("x.png", "test", (9, 9))])
    prepared, inventory, skipped = run(images, tmp_path, tmp_path / "out", [16])
    assert prepared.empty and inventory.empty and len(skipped) == 1


def refused(count: int, stage: str = "prepare") -> pd.DataFrame:
    rows = [
        {
            "dataset": "made_up",
            "stage": stage,
            "item": f"bad{at}",
            "path": "p",
            "reason": f"bad{at}.png: is damaged",
        }
        for at in range(count)
    ]
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["skipped"].columns))


def test_the_gate_counts_and_stops():
    images = images_table([(f"bad{at}.png", "train", (9, 9)) for at in range(100)])
    assert check_inputs(images, refused(1), 0.01) == {"made_up": {"images": 100, "refused": 1}}
    assert check_inputs(images, refused(50, "reading"), 0.0)["made_up"]["refused"] == 0
    with pytest.raises(DatasetError) as caught:
        check_inputs(images, refused(7), 0.05)
    for word in (
        "'skipped'",
        "'made_up'",
        "7 of 100",
        "0.05",
        "limits.max_skipped",
        "bad0.png: is damaged",
        "bad2",
    ):
        assert word in str(caught.value)
    assert "bad3" not in str(caught.value)
    with pytest.raises(DatasetError, match="100 of 100"):
        check_inputs(images, refused(100), 1.0)


def test_images_refused_while_reading_count_though_no_image_row_is_left():
    images = images_table([("good.png", "train", (9, 9))])
    with pytest.raises(DatasetError, match="1 of 2 images"):
        check_inputs(images, refused(1, "read"), 0.4)
