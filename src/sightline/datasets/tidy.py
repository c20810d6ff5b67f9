"""A user's own folder: images.csv, if there are any boxes.csv, fixations.csv, masks/. See docs/tidy.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import picture_headers, upstream
from sightline.datasets.dataset import Dataset, cohort_flow
from sightline.datasets.reading_files import RESOLUTION, SHOWN, SIDES, TIMES, checked_boxes, checked_fixations
from sightline.errors import DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of images.csv, below the dataset's folder; empty for that folder itself.",
    },
    "pixels_per_degree": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "default": None,
        "description": "Image pixels per degree of visual angle, where fixations.csv has no such columns.",
    },
}

LABEL = "label:"
REQUIRED = ["image", "path", "subject", "split"]
IMAGE_NAME = r"[^/\\]{1,255}"  # it names files, so it holds no separator


def sources(root: Path, folder: str = "", **options: object) -> list[Path]:
    """images.csv, and those of boxes.csv and fixations.csv that exist."""
    optional = [root / folder / name for name in ("boxes.csv", "fixations.csv")]
    return [root / folder / "images.csv", *(path for path in optional if path.is_file())]


def read(root: Path, dataset: str, folder: str = "", pixels_per_degree: float | None = None) -> Dataset:
    """The folder's tables. Test images that have a box, mask or reading are `evaluated`.

    Raises `DatasetError` for a missing table or column, an unknown split or label value, a repeated image, a
    subject in two splits, and an annotation of an unknown image. An image whose path leaves the folder or
    whose file cannot be read is skipped, and so is a bad box or fixation, each with file, row and remedy.
    """
    path = root / folder / "images.csv"
    table = _checked(path, root)
    images, refused = _images(table, path, root, folder)
    found = Dataset.nothing(dataset).adding(images=images, labels=_labels(table, path, root), skipped=refused)
    boxes, bad_boxes = _boxes(table, images, root, folder)
    readings, fixations, bad_fixations = _gaze(table, images, root, folder, pixels_per_degree)
    masks = _masks(table, images, root, folder)
    found = found.adding(boxes=boxes, readings=readings, fixations=fixations, masks=masks)
    found = found.adding(skipped=pd.concat([bad_boxes, bad_fixations]))
    annotated = pd.concat([frame["image"] for frame in (boxes, readings, masks)])
    evaluated = (images["split"] == "test") & images["image"].isin(annotated)
    return found.keeping(found.images.assign(evaluated=evaluated.to_numpy())).adding(
        cohort=_cohort(table, images)
    )


def _checked(path: Path, root: Path) -> pd.DataFrame:
    """images.csv as text, all columns, after the checks that need no image file."""
    header = upstream.header_of(path, root)
    table = upstream.read_csv(path, list(dict.fromkeys([*REQUIRED, *header])), root)
    upstream.require_text(path, table["image"], IMAGE_NAME, "a name without '/' or '\\'", root)
    upstream.require_unique(path, table["image"], root)
    upstream.require_text(path, table["split"], "train|validate|test", "train, validate or test", root)
    upstream.refuse(path, table["subject"], table["subject"] == "", "the id of a person", root)
    if table.empty:
        raise DatasetError(f"{upstream.shown(path, root)}: has no row; add one for each image")
    splits = table.groupby("subject")["split"].transform("nunique")
    if (splits > 1).any():
        at = int((splits > 1).argmax())
        raise DatasetError(
            f"{upstream.shown(path, root)}: row {at + 2}: subject '{table['subject'].iloc[at]}' is in "
            f"more than one split, so the model would be tested on people it learnt from; "
            f"give all its images one split"
        )
    return table


def _images(table: pd.DataFrame, path: Path, root: Path, folder: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `images`, with the size that the file's header tells, and rows of `skipped` for bad files."""
    shown, sizes, faults = upstream.shown(path, root), [], {}
    for at, (image, relative) in enumerate(zip(table["image"], table["path"])):
        where = f"{shown}: row {at + 2}"
        try:
            sizes.append(picture_headers.size(upstream.plain_file(root / folder, relative, where)))
        except DatasetError as error:
            faults[image] = str(error)
            sizes.append((0, 0))
        except picture_headers.UNREADABLE as error:
            faults[image] = (
                f"{where}: image '{relative}' cannot be read ({type(error).__name__}); replace the file"
            )
            sizes.append((0, 0))
    optional = {
        name: table[name] if name in table else pd.Series("", table.index) for name in ("study", "view")
    }
    spacing = {
        name: upstream.optional_numbers(path, table[name], root) if name in table else np.nan
        for name in ("spacing_y", "spacing_x")
    }
    images = table[["image", "subject"]].assign(
        upstream_split=table["split"],
        split=table["split"],
        evaluated=False,
        path=[str(Path(folder) / relative) for relative in table["path"]],
        height=[height for _, height in sizes],
        width=[width for width, _ in sizes],
        **{name: column.where(column != "", None) for name, column in optional.items()},
        **spacing,
    )
    bad = images["image"].isin(list(faults))
    refused = upstream.skipped("read", images["image"][bad], list(images["path"][bad]), list(faults.values()))
    return images[~bad].reset_index(drop=True), refused


def _labels(table: pd.DataFrame, path: Path, root: Path) -> pd.DataFrame:
    """Rows of `labels`: 1, 0, or nothing where unknown."""
    frames = []
    for column in [name for name in table.columns if name.startswith(LABEL)]:
        values = upstream.numbers(table[column])
        known = values.isin([0.0, 1.0]) | (table[column] == "")
        upstream.refuse(path, table[column], ~known, "1, 0 or nothing", root)
        frames.append(
            pd.DataFrame(
                {"image": table["image"], "label": column[len(LABEL) :], "value": values, "raw": values}
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else table[:0]


def _boxes(
    table: pd.DataFrame, images: pd.DataFrame, root: Path, folder: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `boxes` from boxes.csv, and of `skipped`."""
    path = root / folder / "boxes.csv"
    defaults = {"reader": "", "label": "", "shape": "rectangle", "certainty": ""}
    boxes = _optional_table(path, ["image", "kind", *SIDES], defaults, table, images, root)
    upstream.require_text(path, boxes["shape"], "rectangle|ellipse", "rectangle or ellipse", root)
    boxes = boxes.assign(
        id=boxes["image"], certainty=upstream.optional_numbers(path, boxes["certainty"], root)
    )
    return checked_boxes(boxes, _path_column(path, boxes, root), boxes["row"])


def _gaze(
    table: pd.DataFrame, images: pd.DataFrame, root: Path, folder: str, pixels_per_degree: float | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rows of `readings` and `fixations` from fixations.csv, and of `skipped`."""
    path = root / folder / "fixations.csv"
    fixations = _fixation_rows(path, table, images, root, pixels_per_degree)
    sizes = images.set_index("image").reindex(fixations["image"])[["height", "width"]].reset_index(drop=True)
    for side, value in zip(SHOWN, [0, 0, sizes["width"], sizes["height"]]):  # nothing was hidden
        fixations[side] = fixations[side].astype(object).where(fixations[side] != "", value)
    fixations = fixations.assign(id=fixations["image"] + " " + fixations["reader"])
    where = _path_column(path, fixations, root)
    good, refused = checked_fixations(fixations, sizes["height"], sizes["width"], where, fixations["row"])

    counts = good.groupby(["image", "reader"]).size()
    readings = fixations.groupby(["image", "reader"], sort=False, as_index=False)["group"].first()
    pairs = pd.MultiIndex.from_frame(readings[["image", "reader"]])
    readings = readings.assign(
        reading=readings["image"] + " " + readings["reader"],
        fixations=counts.reindex(pairs, fill_value=0).to_numpy().astype("int64"),
    )
    return readings, good, refused


def _fixation_rows(
    path: Path, table: pd.DataFrame, images: pd.DataFrame, root: Path, pixels_per_degree: float | None
) -> pd.DataFrame:
    """fixations.csv as text with all columns of the schema, those that it may leave out filled in."""
    header = upstream.header_of(path, root) if path.is_file() else TIMES
    timing = ["duration"] if "duration" in header and TIMES[0] not in header else TIMES
    resolution = {} if pixels_per_degree is None else dict.fromkeys(RESOLUTION, str(pixels_per_degree))
    required = ["image", "x_position", "y_position", *timing, *([] if resolution else RESOLUTION)]
    defaults = {"reader": "0", "group": "", **resolution, **dict.fromkeys(SHOWN, "")}
    fixations = _optional_table(path, required, defaults, table, images, root)
    if timing == TIMES:
        return fixations
    duration = upstream.numbers(fixations["duration"])
    end = duration.groupby([fixations["image"], fixations["reader"]]).cumsum()
    return fixations.assign(**dict(zip(TIMES, [end - duration, end])))


def _optional_table(
    path: Path,
    required: list[str],
    defaults: dict[str, str],
    table: pd.DataFrame,
    images: pd.DataFrame,
    root: Path,
) -> pd.DataFrame:
    """A table of annotations as text with `row`, defaults filled in; no row where the file is absent.

    Rows of an image whose file was refused are left out. Raises `DatasetError` for an image that is unknown.
    """
    if not path.is_file():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in [*required, *defaults, "row"]})
    header = upstream.header_of(path, root)
    columns = list(dict.fromkeys([*required, *(name for name in defaults if name in header)]))
    rows = upstream.read_csv(path, columns, root)
    known = rows["image"].isin(table["image"])
    upstream.refuse(path, rows["image"], ~known, "an image of images.csv (add its row there)", root)
    rows = rows.assign(**{name: value for name, value in defaults.items() if name not in header})
    rows = rows.assign(row=np.arange(len(rows)) + 2)
    return rows[rows["image"].isin(images["image"])].reset_index(drop=True)


def _path_column(path: Path, rows: pd.DataFrame, root: Path) -> pd.Series:
    return pd.Series(upstream.shown(path, root), rows.index, dtype=object)


def _masks(table: pd.DataFrame, images: pd.DataFrame, root: Path, folder: str) -> pd.DataFrame:
    """Rows of `masks`: the files masks/<kind>/<image>.png."""
    files = sorted((root / folder / "masks").glob("*/*.png"))
    strangers = [file for file in files if file.stem not in set(table["image"])]
    if strangers:
        raise DatasetError(
            f"{upstream.shown(strangers[0], root)}: a mask of an image that images.csv lacks; add the "
            f"image's row or take the mask away"
        )
    masks = pd.DataFrame(
        {
            "image": [file.stem for file in files],
            "kind": [file.parent.name for file in files],
            "index": 0,
            "encoding": "file",
            "data": [str(file.relative_to(root)) for file in files],
        }
    )
    return masks.merge(images[["image", "height", "width"]], on="image")


def _cohort(table: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The flow `training`."""
    learnt = images[images["split"] != "test"]
    flow = [("images of the table", table), ("file readable", images), ("split train or validate", learnt)]
    return cohort_flow("training", flow)
