"""Every image decoded once, into one memory-mapped store of grey bytes at the sizes that models take."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sightline import arrays, tables
from sightline.datasets import upstream
from sightline.errors import DatasetError, TableError
from sightline.frames import Frame

GEOMETRY_OF_SPLIT = {"train": "train", "validate": "explain", "test": "explain"}
MOST_PIXELS = 80_000_000  # of one file; more is taken for a decompression bomb
LONGEST = 16  # times the shorter side: the grids that models take grow with the square of it
FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
ORIENTATION = 0x0112  # EXIF
AT_ONCE = 16  # images per message to a worker


@dataclass(frozen=True)
class Decoded:
    """What one image file gave: size and digest, and either a grid and frame per side or a reason."""

    bytes: int
    sha256: str
    grids: list[np.ndarray]
    frames: list[Frame]
    reason: str


def prepare(
    images: pd.DataFrame, root: Path, sides: list[int], store_path: Path, workers: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Decode a dataset's images and write them at every side; the tables (prepared, inventory, skipped).

    Images of split train take the geometry `train`, the others `explain` (`train_grid`, `explain_grid`). A
    file that is missing, damaged or not of its table's size is a row of `skipped` (stage `prepare`), never
    an exception. The store's bytes depend on images, root and sides alone, not on `workers`.
    """
    images = images.sort_values("image", ignore_index=True)
    jobs = [
        (row.path, (int(row.height), int(row.width)), GEOMETRY_OF_SPLIT[row.split])
        for row in images.itertuples()
    ]
    prepared, inventory, refused = [], {}, []
    with arrays.Writer(store_path, np.uint8) as store:
        for row, decoded in zip(images.itertuples(), _decoded(jobs, Path(root), sorted(set(sides)), workers)):
            if decoded.sha256:
                inventory[row.path] = {"path": row.path, "bytes": decoded.bytes, "sha256": decoded.sha256}
            if decoded.reason:
                refused.append(
                    {"stage": "prepare", "item": row.image, "path": row.path, "reason": decoded.reason}
                )
            for side, grid, frame in zip(sorted(set(sides)), decoded.grids, decoded.frames):
                prepared.append(
                    {
                        "side": side,
                        "geometry": GEOMETRY_OF_SPLIT[row.split],
                        "image": row.image,
                        "offset": store.append(grid),
                        "shape": list(grid.shape),
                        "scale": list(frame.scale),
                        "shift": list(frame.shift),
                    }
                )
    dataset = images["dataset"].iloc[0] if len(images) else ""
    return tuple(
        pd.DataFrame(rows, columns=list(tables.SCHEMAS[name].columns)).assign(dataset=dataset)
        for name, rows in (
            ("prepared", prepared),
            ("inventory", list(inventory.values())),
            ("skipped", refused),
        )
    )


def _decoded(jobs: list[tuple], root: Path, sides: list[int], workers: int) -> Iterator[Decoded]:
    """The files' contents, in order."""
    decode = partial(decode_image, root=root, sides=sides)
    if workers <= 1:
        yield from map(decode, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        # a bounded number of groups is under way, so that memory does not grow with the dataset
        groups = [jobs[start : start + AT_ONCE] for start in range(0, len(jobs), AT_ONCE)]
        pending = []
        for group in groups:
            pending.append(pool.submit(_decode_group, decode, group))
            if len(pending) > 2 * workers:
                yield from pending.pop(0).result()
        for future in pending:
            yield from future.result()


def _decode_group(decode: Callable[[tuple], Decoded], jobs: list[tuple]) -> list[Decoded]:
    return [decode(job) for job in jobs]


def decode_image(job: tuple[str, tuple[int, int], str], root: Path, sides: list[int]) -> Decoded:
    """One file (path below `root`, its size (H, W) by the table, geometry) at every side, or why not."""
    path, shape, geometry = job
    try:
        data = upstream.inside(root, path, "table images").read_bytes()
    except (OSError, DatasetError) as error:
        word = "the file is missing; put it there" if isinstance(error, FileNotFoundError) else str(error)
        return Decoded(0, "", [], [], f"{path}: {word}")
    digest = hashlib.sha256(data).hexdigest()
    try:
        grey = read_grey(data, shape)
    except ValueError as error:
        return Decoded(len(data), digest, [], [], f"{path}: {error}")
    grid = train_grid if geometry == "train" else explain_grid
    made = [grid(grey, side) for side in sides]
    return Decoded(len(data), digest, [pixels for pixels, _ in made], [frame for _, frame in made], "")


def read_grey(data: bytes, shape: tuple[int, int]) -> Image.Image:
    """An image file's bytes as an 8-bit grey image of `shape` (H, W).

    Colour becomes luma (ITU-R 601). 16-bit grey is stretched from its own minimum and maximum to 0..255, as
    the makers of MIMIC-CXR-JPG did. Raises `ValueError` with reason and remedy for anything else.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise Image.DecompressionBombError
        if (height, width) != tuple(shape):
            raise ValueError(
                f"is {width} x {height} pixels, but its table says {shape[1]} x {shape[0]}; correct the "
                f"table or take the right file"
            )
        if max(shape) > LONGEST * min(shape):
            raise ValueError(f"is more than {LONGEST} times as long as wide; crop it")
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError(f"holds {image.n_frames} pictures; split it")
        if image.getexif().get(ORIENTATION, 1) != 1:
            raise ValueError("asks viewers to turn it (EXIF); store it upright")
        image.load()  # a truncated file ends here
        return _grey(image)
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"is not an image of type {', '.join(FORMATS)}; replace the file") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"has more than {MOST_PIXELS} pixels; reduce it") from error
    except (OSError, SyntaxError, EOFError, TypeError) as error:
        raise ValueError(f"is damaged ({error}); take it again from its source") from error


def _grey(image: Image.Image) -> Image.Image:
    """The image in mode L; see `read_grey`."""
    if image.mode in ("L", "RGB", "1"):
        return image.convert("L")
    if image.mode == "P" and "transparency" not in image.info:
        return image.convert("RGB").convert("L")
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB").convert("L")
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image).astype(np.float64)
        low, high = values.min(), values.max()
        return Image.fromarray(np.rint((values - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8))
    raise ValueError(
        f"has pixels of kind '{image.mode}'; store it as 8- or 16-bit grey, or RGB without transparency"
    )


def train_grid(image: Image.Image, side: int) -> tuple[np.ndarray, Frame]:
    """The image with its shortest side at `side`, the other in proportion: uint8 (H, W), and its frame.

    The authors' torchvision `Resize` of a PIL image: bilinear, antialiased, the longer side rounded down.
    """
    width, height = image.size
    shortest = min(width, height)
    size = (int(side * width / shortest), int(side * height / shortest))
    frame = Frame.resized((height, width), size[::-1])
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)), frame


def explain_grid(image: Image.Image, side: int) -> tuple[np.ndarray, Frame]:
    """The image whole, in a zero-padded square: uint8 (S, S), S a multiple of 16, and its frame.

    The authors' validation transform: the longest side goes to S = 16 round(side / min * max / 16), both
    sides times that ratio, rounded; padding is floor before, ceil after.
    """
    width, height = image.size
    square = explained_side((height, width), side)
    ratio = square / max(width, height)
    size = (round(width * ratio), round(height * ratio))
    left, top = (square - size[0]) // 2, (square - size[1]) // 2
    pixels = np.zeros((square, square), dtype=np.uint8)
    pixels[top : top + size[1], left : left + size[0]] = np.asarray(
        image.resize(size, Image.Resampling.BILINEAR)
    )
    frame = Frame.resized((height, width), size[::-1]).cropped((-top, -left), (square, square))
    return pixels, frame


def explained_side(shape: tuple[int, int], side: int) -> int:
    """S of `explain_grid` for an image of `shape` (H, W)."""
    return round(side / min(shape) * max(shape) / 16) * 16


class Store:
    """The prepared pixels of one dataset, by image, side and geometry."""

    def __init__(self, prepared: pd.DataFrame, flat: np.ndarray):
        self._flat = flat
        self._rows = {
            (row.image, row.side, row.geometry): (
                row.offset,
                tuple(row.shape),
                tuple(row.scale),
                tuple(row.shift),
            )
            for row in prepared.sort_values(["image", "side", "geometry"]).itertuples()
        }

    def get(self, image: str, side: int, geometry: str) -> np.ndarray:
        """The pixels, uint8 (H, W), a view of the store. Raises `TableError` where there are none."""
        offset, shape, _, _ = self._row(image, side, geometry)
        return arrays.view(self._flat, offset, shape)

    def frame(self, image: str, side: int, geometry: str) -> Frame:
        """Where these pixels lie in the image."""
        _, shape, scale, shift = self._row(image, side, geometry)
        return Frame(tuple(map(int, shape)), tuple(map(float, scale)), tuple(map(float, shift)))

    def images(self, side: int, geometry: str) -> list[str]:
        """The images prepared so, sorted."""
        return [image for image, at, kind in self._rows if (at, kind) == (side, geometry)]

    def _row(self, image: str, side: int, geometry: str) -> tuple:
        try:
            return self._rows[image, side, geometry]
        except KeyError:
            raise TableError(
                f"table 'prepared': image '{image}' was not prepared at side {side} for '{geometry}'; see "
                f"table 'skipped' for the reason, or prepare that side"
            ) from None


def open_store(table_path: str | os.PathLike, npy_path: str | os.PathLike) -> Store:
    """The store whose table and pixels lie there; the pixels stay on disk until read."""
    return Store(tables.read("prepared", table_path), arrays.open_flat(npy_path))


def check_inputs(images: pd.DataFrame, skipped: pd.DataFrame, max_share: float) -> dict[str, dict[str, int]]:
    """How many images of each dataset there are, and how many were refused (stages `read` and `prepare`).

    Raises `DatasetError`, naming the table and the first reasons, where more than `max_share` of a dataset's
    images were refused, or none left.
    """
    refused = skipped[skipped["stage"].isin(["read", "prepare"])].drop_duplicates(["dataset", "item"])
    counts = {}
    for dataset in sorted({*images["dataset"], *refused["dataset"]}):
        bad = refused[refused["dataset"] == dataset]
        total = len({*images["image"][images["dataset"] == dataset], *bad["item"]})
        counts[dataset] = {"images": total, "refused": len(bad)}
        if len(bad) > max_share * total or len(bad) == total:
            reasons = "".join(f"\n  {reason}" for reason in bad["reason"].head(3))
            raise DatasetError(
                f"table 'skipped' of dataset '{dataset}': {len(bad)} of {total} images were refused, more "
                f"than the share of {max_share:g} that limits.max_skipped allows; mend the files or raise "
                f"the limit. The first reasons:{reasons}"
            )
    return counts
