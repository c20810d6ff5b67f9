"""The images that the page of overlays shows, best to worst, and what stands beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sightline import baselines, scoring
from sightline.figures import words
from sightline.figures.overlays import Case, Outline
from sightline.frames import Frame, resample, scoring_frame
from sightline.preparation import Store
from sightline.saliency import Saliency


@dataclass(frozen=True)
class Shown:
    """A map that is shown: under which title, from where, under which reading ({classes, clip})."""

    title: str
    maps: Saliency
    reading: Mapping[str, str]

    @property
    def signed(self) -> bool:
        """Whether its values have a sign after the reading."""
        return self.reading.get("clip", "none") == "none" and self.reading["classes"] != "none"


@dataclass(frozen=True)
class Beside:
    """What a dataset holds to stand beside its images, in the scoring frame of `scale`."""

    images: pd.DataFrame
    boxes: pd.DataFrame
    pixels: Store
    side: int
    scale: float
    gaze: scoring.GazeReference | None = None
    lungs: scoring.RegionReference | None = None


def spread(scores: pd.Series, count: int) -> pd.Series:
    """`count` images from the best to the worst by `scores` (image -> value), evenly by rank: best and worst first.

    Ties are ordered by the image's id. Fewer images than asked for are all shown.
    """
    ordered = scores.dropna().rename_axis("image").reset_index(name="value")
    ordered = ordered.sort_values(["value", "image"], ascending=[False, True]).set_index("image")["value"]
    ranks = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return ordered.iloc[ranks]


def build(
    chosen: pd.Series, what: str, beside: Beside, shown: Sequence[Shown], outlined: Sequence[str]
) -> list[Case]:
    """A case per image of `chosen` (image -> value of `what`), in its order.

    Panels as in the chest x-ray gaze study's figure: a reader, the other readers, the lungs' hull, the center bias,
    then each of `shown`; what an image does not have is left out. Boxes of the kinds `outlined` are drawn.
    """
    rows = beside.images.set_index("image")
    cases = []
    for rank, (image, value) in enumerate(chosen.items()):
        row = rows.loc[image]
        shape = (int(row["height"]), int(row["width"]))
        panels = {**_references(image, beside), **_maps(image, shape, beside, shown)}
        place = (
            "best"
            if rank == 0
            else "worst"
            if rank == len(chosen) - 1
            else f"rank {rank + 1} of {len(chosen)} shown"
        )
        cases.append(
            Case(
                f"{place}\n{what} {value:.2f}",
                picture(image, shape, beside),
                {name: panel for name, panel in panels.items() if not isinstance(panel, scoring.Absent)},
                frozenset(one.title for one in shown if one.signed),
                _outlines(image, beside, outlined),
                {
                    name: panel.status.replace("_", " ")
                    for name, panel in panels.items()
                    if isinstance(panel, scoring.Absent)
                },
            )
        )
    return cases


def picture(image: str, shape: tuple[int, int], beside: Beside) -> np.ndarray:
    """The stored pixels of `image` without the padding: uint8 (h, w), the image's own aspect."""
    frame = beside.pixels.frame(image, beside.side, "explain")
    whole = Frame.resized(
        shape, tuple(round(side * scale) for side, scale in zip(shape, reversed(frame.scale)))
    )
    stored = beside.pixels.get(image, beside.side, "explain")
    return resample(stored, frame, whole).round().astype(np.uint8)


def _references(image: str, beside: Beside) -> dict[str, scoring.Answer]:
    panels: dict[str, scoring.Answer] = {}
    if beside.gaze is not None:
        there = [
            (reader, values)
            for reader, values in beside.gaze.readings(image)
            if isinstance(values, np.ndarray)
        ]
        if there:
            panels["reader"] = there[0][1]
        if len(there) > 1:
            panels["other_readers"] = scoring.others([values for _, values in there])[0]
        for leave_out in beside.gaze.leave_outs[:1]:
            panels["center_bias"] = beside.gaze.center_bias(image).get(
                leave_out, scoring.Absent("missing", "")
            )
    if beside.lungs is not None:
        mask = beside.lungs.mask(image)
        panels["hull"] = mask if isinstance(mask, scoring.Absent) else baselines.hull(mask)
    return panels


def _maps(
    image: str, shape: tuple[int, int], beside: Beside, shown: Sequence[Shown]
) -> dict[str, scoring.Answer]:
    frame = scoring_frame(shape, beside.scale)
    return {one.title: one.maps.get(image, {"": one.reading}, frame)[""] for one in shown}


def _outlines(image: str, beside: Beside, kinds: Sequence[str]) -> list[Outline]:
    rows = beside.boxes[(beside.boxes["image"] == image) & beside.boxes["kind"].isin(list(kinds))]
    return [
        Outline(row.xmin, row.ymin, row.xmax, row.ymax, row.shape_, row.label)
        for row in rows.rename(columns={"shape": "shape_"}).itertuples()
    ]


RANKED_BY = ("sauc", "mass_over_area", "mass_inside", "auc", "ncc")  # the first that was scored


def ranking(
    scores: pd.DataFrame,
    shown: Sequence[Mapping],
    leave_outs: Sequence[str],
    beside: Beside,
    maps: Sequence[Shown],
) -> tuple[pd.Series, str, str]:
    """(image -> value, what the value is, a sentence for the caption): by what the images are put in order.

    The score of the first map shown; without a model that of readers against each other; where nothing was scored
    the model's output for its first label; where there is no model either, the images' ids at equal value.
    """
    ok = scores[(scores["status"] == "ok") & scores["center_bias"].isin(["", *leave_outs])]
    if shown:
        keys = {key: shown[0][key] for key in ("model", "seed", "condition", "method", "reading")}
    else:
        keys = {"method": "interobserver"}
    for key, value in keys.items():
        ok = ok[ok[key] == value]
    for metric in RANKED_BY:
        rows = ok[ok["metric"] == metric]
        if len(rows):
            who = maps[0].title.replace("\n", " ") if shown else "a reader against the others"
            return (
                rows.groupby("image")["value"].mean(),
                words.metric(metric).title,
                f"Rows run from the best to the worst image by the {words.metric(metric).title} of {who}, evenly by rank.",
            )
    if maps:
        label = shown[0]["labels"][0]
        values = {image: maps[0].maps.logit(image, label) for image in maps[0].maps.images}
        return (
            pd.Series(values, dtype=float),
            f"{label}, logit",
            f"Rows run from the highest to the lowest output for {label}.",
        )
    return pd.Series(0.0, index=beside.images["image"]), "no score", "Images by their names."


def title(row: Mapping, shown: Sequence[Mapping]) -> str:
    """The panel's title: the method, and what else tells it from the other maps that are shown."""
    parts = [words.method(row["method"])]
    if len({other["reading"] for other in shown if other["method"] == row["method"]}) > 1:
        parts.append(words.plain(row["reading"]))
    if len({other["model"] for other in shown}) > 1:
        parts.append(words.plain(row["model"]))
    if row["condition"] != "clean":
        parts.append(words.condition(row["condition"]))
    return "\n".join(parts)
