"""Real fixations of identified participants on photographs, with screen geometry (Andersson et al. 2017).

Source: doi 10.3758/s13428-016-0738-9. Two experts coded the same gaze, so one of them is chosen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import picture_headers, upstream
from sightline.datasets.dataset import Dataset, cohort_flow
from sightline.datasets.reading_files import POSITION, RESOLUTION, SHOWN, TIMES, checked_fixations
from sightline.errors import DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of fixations.csv, below the dataset's folder; empty for that folder itself.",
    },
    "coder": {
        "type": "string",
        "enum": ["MN", "RA"],
        "default": "MN",
        "description": "The expert whose fixations are used.",
    },
}

SCREEN = ["screen_w_px", "screen_h_px"]


def sources(root: Path, folder: str = "", **options: object) -> list[Path]:
    """fixations.csv and trials.csv."""
    return [root / folder / "fixations.csv", root / folder / "trials.csv"]


def read(root: Path, dataset: str, folder: str = "", coder: str = "MN") -> Dataset:
    """The photographs that were looked at, all in test and evaluated; a reader is a participant.

    The whole image was shown, on the whole screen; its box has the kind `image`. Raises `DatasetError` for a
    missing table, column or photograph, and where a photograph is not of the screen's size.
    """
    path, trials_path = sources(root, folder)
    trials = upstream.read_csv(
        trials_path,
        ["trial", "image", "subject", "coder", *SCREEN, "px_per_deg_x", "px_per_deg_y"],
        root,
    )
    screens = {side: upstream.pixels(trials_path, trials[side], root) for side in SCREEN}
    chosen = trials.assign(**screens, row=np.arange(len(trials)) + 2)[trials["coder"] == coder]
    chosen = chosen.reset_index(drop=True)
    if chosen.empty:
        known = ", ".join(sorted(set(trials["coder"])))
        raise DatasetError(
            f"{upstream.shown(trials_path, root)}: no trial of coder '{coder}'; choose one of {known}"
        )
    images = _images(chosen, trials_path, root, folder)
    fixations, refused = _fixations(path, chosen, images, coder, root)
    counts = fixations.groupby(["image", "reader"]).size()
    pairs = pd.MultiIndex.from_frame(chosen[["image", "subject"]])
    readings = pd.DataFrame(
        {
            "image": chosen["image"],
            "reader": chosen["subject"],
            "reading": chosen["trial"],
            "group": f"coder {coder}",
            "fixations": counts.reindex(pairs, fill_value=0).to_numpy().astype("int64"),
        }
    )
    boxes = images[["image"]].assign(
        reader="", kind="image", label="", index=0, shape="rectangle", certainty=np.nan,
        xmin=0.0, ymin=0.0, xmax=images["width"].astype(float), ymax=images["height"].astype(float),
    )  # fmt: skip
    cohort = cohort_flow("evaluation", [("photographs with a reading", images)])
    return Dataset.nothing(dataset).adding(
        images=images, boxes=boxes, readings=readings, fixations=fixations, cohort=cohort, skipped=refused
    )


def _images(trials: pd.DataFrame, path: Path, root: Path, folder: str) -> pd.DataFrame:
    """Rows of `images`, one per photograph of the trials."""
    rows = []
    for image, trial in trials.groupby("image", sort=True):
        where = f"{upstream.shown(path, root)}: row {trial['row'].iloc[0]}"
        relative = str(Path(folder) / "images" / f"{image}.jpg")
        try:
            width, height = picture_headers.size(upstream.plain_file(root, relative, where))
        except picture_headers.UNREADABLE as error:
            raise DatasetError(
                f"{where}: photograph '{relative}' cannot be read ({type(error).__name__}); put it there"
            ) from error
        screen = tuple(trial[side].iloc[0] for side in SCREEN)
        if (width, height) != screen:
            raise DatasetError(
                f"{where}: photograph '{relative}' is {width} x {height}, the screen {screen[0]} x "
                f"{screen[1]}; use the photograph as it was shown"
            )
        rows.append({"image": image, "path": relative, "height": height, "width": width})
    return pd.DataFrame(rows).assign(
        subject=lambda images: images["image"],
        study=None,
        upstream_split="test",
        split="test",
        evaluated=True,
        view=None,
        spacing_y=np.nan,
        spacing_x=np.nan,
    )


def _fixations(
    path: Path, trials: pd.DataFrame, images: pd.DataFrame, coder: str, root: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `fixations` of one coder, and of `skipped`."""
    columns = ["trial", "image", "subject", "coder", "timestamp_start_s", "timestamp_end_s", "x", "y"]
    table = upstream.read_csv(path, columns, root)
    table = table.assign(row=np.arange(len(table)) + 2)[table["coder"] == coder].reset_index(drop=True)
    known = table["trial"].isin(trials["trial"])
    upstream.refuse(path, table["trial"], ~known, "a trial of trials.csv", root)
    geometry = trials.set_index("trial").loc[table["trial"], ["px_per_deg_x", "px_per_deg_y"]]
    sizes = images.set_index("image").loc[table["image"], ["height", "width"]].reset_index(drop=True)
    table = table.rename(columns={"trial": "id", "subject": "reader"}).assign(
        **dict(zip(TIMES, [table["timestamp_start_s"], table["timestamp_end_s"]])),
        **dict(zip(POSITION, [table["x"], table["y"]])),
        **dict(zip(RESOLUTION, [geometry["px_per_deg_x"].to_numpy(), geometry["px_per_deg_y"].to_numpy()])),
        **dict(zip(SHOWN, [0, 0, sizes["width"], sizes["height"]])),
    )
    where = pd.Series(upstream.shown(path, root), table.index)
    return checked_fixations(table, sizes["height"], sizes["width"], where, table["row"])
