"""Every image decoded once, into one memory-mapped store of bytes at the sizes that models take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sightline import arrays
from sightline.collected import Collected, shifted
from sightline.datasets import rle
from sightline.errors import DatasetError
from sightline.frames import Frame
from sightline.prepared import GEOMETRY_OF_SPLIT
from sightline.preparing import breast, grids, pictures
from sightline.shards import WHOLE, Shard

AT_ONCE = 16  # images per message to a worker
# table -> the name of its output
OUTPUTS = {"prepared": "table"} | {name: name for name in ("inventory", "skipped", "boxes", "masks")}

OPTIONS = {
    "fit": {
        "description": "How a picture of any shape becomes what a model takes. `crop`: for training its "
        "shorter side at the recipe's `side`, of which training crops a square; for "
        "explaining whole, padded to a square whose side is a multiple of 16. `stretch`: the "
        "whole picture squeezed into a square of `side`, for both. `pad`: the whole picture "
        "in its proportions in a square of `side`, zero-padded, for both.",
        "enum": ["crop", "stretch", "pad"],
        "default": "crop",
    },
    "find": {
        "description": "What is looked for in each picture's pixels: `breast`, the largest region of "
        "tissue, becomes a box and a mask of that kind; null for nothing. A picture in which "
        "nothing is found is kept whole, with a note in table `skipped`.",
        "enum": [None, "breast"],
        "default": None,
    },
    "crop": {
        "description": "Whether pictures are cut to the box of what was found. Maps then end there: beyond "
        "the box a score takes them for 0, and agreements compare nothing.",
        "type": "boolean",
        "default": False,
    },
    "orient": {
        "description": "`left` mirrors each picture whose found tissue lies in its right half, so that all "
        "chest walls lie left; maps, masks and boxes stay in the picture as it is stored.",
        "enum": ["as_stored", "left"],
        "default": "as_stored",
    },
    "colour": {
        "description": "What is kept of a picture: one `grey` value per pixel (colours as their luma), or "
        "three, `rgb`.",
        "enum": ["grey", "rgb"],
        "default": "grey",
    },
    "window": {
        "description": "How a DICOM file's values become grey: `full`, their whole range, nothing clipped, "
        "or `dicom`, by the VOI LUT or window that the file holds (in full where it holds "
        "none).",
        "enum": ["full", "dicom"],
        "default": "full",
    },
}


@dataclass(frozen=True)
class Preparation:
    """How pictures are prepared, as `OPTIONS` describes it."""

    fit: str = "crop"
    find: str | None = None
    crop: bool = False
    orient: str = "as_stored"
    colour: str = "grey"
    window: str = "full"


@dataclass(frozen=True)
class Job:
    """One image: its path below the dataset's folder, its size (H, W) by the table, its geometry."""

    path: str
    shape: tuple[int, int]
    geometry: str


@dataclass(frozen=True)
class Decoded:
    """What one image gave: its file with size and digest, and a grid and frame per side, or a `reason`.

    `tissue` is what was found in it; `note` says that nothing was.
    """

    file: str = ""
    bytes: int = 0
    sha256: str = ""
    grids: tuple[np.ndarray, ...] = ()
    frames: tuple[Frame, ...] = ()
    tissue: breast.Tissue | None = None
    note: str = ""
    reason: str = ""


def prepare(
    images: pd.DataFrame,
    root: Path,
    sides: list[int],
    outputs: Mapping[str, Path | str],
    how: Preparation = Preparation(),  # noqa: B008 (frozen)
    workers: int = 1,
    shard: Shard = WHOLE,
    progress: Callable[..., Iterable] = lambda items, *told: items,
) -> None:
    """Decode a dataset's images, or a `shard` of them, and write them at every side, with their tables.

    `outputs` name the files: `pixels`, `table` (prepared), `inventory` (a container once), `skipped`, and the
    `boxes` and `masks` of what was found. Images of split train take the geometry `train`, the others
    `explain`. A file that is missing, damaged or not of its table's size is a row of `skipped` (stage
    `prepare`), never an exception; so is a picture without what `how` looks for (stage `reading`: the image
    stays). A worker holds one picture at a time; `progress(items, total, what, skipped)` yields the items of
    the long loop and tells how far it is. Bytes depend on images, root, sides and `how` alone, not on
    `workers`.
    """
    images = shard.of(images.sort_values("image", ignore_index=True))
    sides = sorted(set(sides))
    jobs = [
        Job(row.path, (int(row.height), int(row.width)), GEOMETRY_OF_SPLIT[row.split])
        for row in images.itertuples()
    ]
    found = {name: Collected(name, outputs[output]) for name, output in OUTPUTS.items()}
    listed = set()
    refused: list[str] = []
    films = zip(images.itertuples(), _decoded(jobs, Path(root), sides, how, workers))
    with arrays.Writer(outputs["pixels"], np.uint8) as store:
        for row, decoded in progress(films, len(images), "images", lambda: len(refused)):
            refused.extend([row.image] if decoded.reason else [])
            rows = _rows(row, decoded, sides, how, store)
            if decoded.file in listed:
                del rows["inventory"]
            listed.add(decoded.file)
            for name, some in rows.items():
                found[name].add({"dataset": row.dataset} | one for one in some)
    _write(found, outputs)


def join(parts: Mapping[str, Sequence[Path]], outputs: Mapping[str, Path | str]) -> None:
    """Join what `prepare` wrote for all shards of a dataset: the bytes of one job.

    `parts` are their files by name, in order (`shards.parts`).
    """
    found = {name: Collected(name, outputs[output]) for name, output in OUTPUTS.items()}
    with arrays.Writer(outputs["pixels"], np.uint8) as store:
        for table, pixels in zip(parts["prepared.parquet"], parts["pixels.npy"], strict=True):
            moved = store.append_file(pixels)
            found["prepared"].add_file(table, lambda rows, moved=moved: shifted(rows, moved))
    listed: set[str] = set()
    for part in parts["inventory.parquet"]:
        found["inventory"].add_file(part, lambda rows: _unlisted(rows, listed))
    for name in ("skipped", "boxes", "masks"):
        for part in parts[f"{name}.parquet"]:
            found[name].add_file(part)
    _write(found, outputs)


def _write(found: Mapping[str, Collected], outputs: Mapping[str, Path | str]) -> None:
    for name, table in found.items():
        table.write(values=outputs["pixels"] if name == "prepared" else None)


def _unlisted(rows: pa.Table, listed: set[str]) -> pa.Table:
    """The rows of `inventory` whose file is not `listed` yet; it is, now: shards may share a container."""
    new = [path not in listed for path in rows["path"].to_pylist()]
    listed.update(rows["path"].to_pylist())
    return rows.filter(pa.array(new, pa.bool_()))


def _rows(
    row: tuple, decoded: Decoded, sides: list[int], how: Preparation, store: arrays.Writer
) -> dict[str, list[dict]]:
    """What one image adds to each table; its grids are appended to `store`."""
    said = (("prepare", decoded.reason), ("reading", decoded.note))
    tissue = decoded.tissue
    file = {"path": decoded.file, "bytes": decoded.bytes, "sha256": decoded.sha256}
    return {
        "prepared": _stored(row.image, GEOMETRY_OF_SPLIT[row.split], sides, decoded, store),
        "inventory": [file] if decoded.sha256 else [],
        "skipped": [
            {"stage": stage, "item": row.image, "path": row.path, "reason": reason}
            for stage, reason in said
            if reason
        ],
        "boxes": [] if tissue is None else [_box(row.image, how.find, tissue)],
        "masks": [] if tissue is None else [_mask(row.image, how.find, tissue)],
    }


def _stored(
    image: str, geometry: str, sides: list[int], decoded: Decoded, store: arrays.Writer
) -> list[dict]:
    """Rows of table `prepared`; the grids are appended to `store`."""
    return [
        {
            "side": side,
            "geometry": geometry,
            "image": image,
            "offset": store.append(grid),
            "shape": list(grid.shape),
            "scale": list(frame.scale),
            "shift": list(frame.shift),
        }
        for side, grid, frame in zip(sides, decoded.grids, decoded.frames)
    ]


def _box(image: str, kind: str, tissue: breast.Tissue) -> dict:
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), tissue.box))
    named = {"image": image, "reader": "", "kind": kind, "label": "", "index": 0, "shape": "rectangle"}
    return named | corners | {"certainty": None}


def _mask(image: str, kind: str, tissue: breast.Tissue) -> dict:
    height, width = tissue.mask.shape
    said = {"image": image, "kind": kind, "index": 0, "encoding": "rle", "data": rle.encode(tissue.mask)}
    return said | {"height": height, "width": width}


def _decoded(
    jobs: list[Job], root: Path, sides: list[int], how: Preparation, workers: int
) -> Iterator[Decoded]:
    """The images' contents, in order."""
    decode = partial(decode_image, root=root, sides=sides, how=how)
    if workers <= 1:
        yield from map(decode, jobs)
        return
    # small enough that every worker has some
    at_once = max(1, min(AT_ONCE, len(jobs) // (2 * workers)))
    with ProcessPoolExecutor(workers) as pool:
        # a bounded number of groups is under way, so that memory does not grow with the dataset
        groups = [jobs[start : start + at_once] for start in range(0, len(jobs), at_once)]
        pending = []
        for group in groups:
            pending.append(pool.submit(_decode_group, decode, group))
            if len(pending) > 2 * workers:
                yield from pending.pop(0).result()
        for future in pending:
            yield from future.result()


def _decode_group(decode: Callable[[Job], Decoded], jobs: list[Job]) -> list[Decoded]:
    return [decode(job) for job in jobs]


def decode_image(job: Job, root: Path, sides: list[int], how: Preparation) -> Decoded:
    """One image at every side, or why not."""
    try:
        found = pictures.content(job.path, root)
    except ValueError as error:
        return Decoded(reason=f"{job.path}: {error}")
    file = {"file": found.file, "bytes": found.bytes, "sha256": found.sha256}
    try:
        image = pictures.picture(found, job.shape, how.colour, how.window)
    except ValueError as error:
        return Decoded(**file, reason=f"{job.path}: {error}")
    del found  # the bytes go before the picture is worked on
    tissue = breast.find(image) if how.find == "breast" else None
    note = ""
    if how.find and tissue is None:
        note = f"{job.path}: no {how.find} was found in it; the whole picture is used: look at it"
    box = tissue.window if tissue is not None and how.crop else None
    image, placed = grids.cut(image, box, how.orient == "left" and tissue is not None and tissue.lies_right)
    made = [grids.fitted(image, side, job.geometry, how.fit) for side in sides]
    return Decoded(
        **file,
        grids=tuple(_coloured(pixels, how.colour) for pixels, _ in made),
        frames=tuple(placed.then(frame) for _, frame in made),
        tissue=tissue,
        note=note,
    )


def _coloured(pixels: np.ndarray, colour: str) -> np.ndarray:
    """The pixels with three values each where `colour` is rgb, also of a picture that has no colours."""
    return np.stack([pixels] * 3, axis=-1) if colour == "rgb" and pixels.ndim == 2 else pixels


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
