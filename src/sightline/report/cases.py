"""The images that the page of overlays shows, from the best to the worst, and what stands beside each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd

from sightline import frames
from sightline.figures import words
from sightline.figures.overlays import Case, Outline
from sightline.frames import Frame, resample, scoring_frame
from sightline.outcomes import Absent, Answer
from sightline.prepared import Store
from sightline.scores import baselines, scoring
from sightline.scores.saliency import Saliency

RANKED_BY = ("sauc", "mass_over_area", "mass_inside", "auc", "ncc")  # the first that was scored
TRUTH = {1.0: "yes", 0.0: "no"}  # a label's value, as a case's title says it
OF_TRUE, OF_PREDICTED = "probability (true label)", "probability (predicted label)"
OUTPUTS = ("logit", OF_PREDICTED)  # no merit in a high one


@dataclass(frozen=True)
class Shown:
    """A map that is shown: under which title, from where, under which reading ({classes, clip}).

    `seen` says what of an image the model saw, where pictures were cut out (`saliency.part_seen`).
    """

    title: str
    maps: Saliency
    reading: Mapping[str, str]
    seen: Callable[[str], Frame] | None = None

    @property
    def signed(self) -> bool:
        """Whether its values have a sign after the reading."""
        return self.reading.get("clip", "none") == "none" and self.reading["classes"] != "none"

    def on(self, image: str, frame: Frame) -> Answer:
        """The map of `image` in `frame`, NaN beyond what the model saw of it."""
        found = self.maps.get(image, {"": self.reading}, frame)[""]
        if self.seen is None or isinstance(found, Absent):
            return found
        return np.where(frames.shown(self.seen(image), frame), found, np.nan)


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

    @property
    def explained(self) -> list[str]:
        """The images whose pixels are stored as models see them when they explain."""
        return self.pixels.images(self.side, "explain")


@dataclass(frozen=True)
class Ranking:
    """`values` (image -> value) by which images are ordered, `what` they are (or ""), a sentence `why`.

    `true` says of images that are ordered by the model's output what is true, and what was predicted.
    """

    values: pd.Series
    what: str
    why: str
    true: Mapping[str, str] = field(default_factory=dict)


# ---- which images


def ranking(
    scores: pd.DataFrame,
    rows: Sequence[Mapping],
    shown: Sequence[Shown],
    references: Sequence[str],
    images: Sequence[str],
) -> Ranking:
    """By what the `images` are put in order, the best first.

    The score of the first of `shown` that has one (`rows` are their cells and readings) against the first
    of `references` that gives it; without models that of readers against each other; without scores the
    model's output: for its first label, or where labels exclude each other (`exclusive` in its row) for the
    image's own; else their names. `scores` hold one center bias per shuffled metric.
    """
    usable = scores[scores["status"] == "ok"]
    asked = [
        ({key: row[key] for key in ("model", "seed", "condition", "method", "reading")}, one.title)
        for row, one in zip(rows, shown)
    ] or [({"method": "interobserver"}, "one reader against the others")]
    for keys, who in asked:
        found = _scored(usable, keys, references)
        if found is not None:
            who = who.replace("\n", ", ")
            why = f"From the best to the worst image by the {found[1]} of {who}, evenly by rank."
            return Ranking(*found, why)
    for row, one in zip(rows, shown):
        found = (
            _by_class(row["labels"], one.maps) if row["exclusive"] else _by_label(row["labels"][0], one.maps)
        )
        if found.values.notna().any():
            return found
    return Ranking(pd.Series(0.0, index=list(images)), "", "Images by their names: nothing was scored.")


def _by_label(label: str, maps: Saliency) -> Ranking:
    """By the output for one of several independent labels."""
    values = pd.Series({image: maps.logit(image, label) for image in maps.images}, dtype=float)
    why = f"From the highest to the lowest output for {label}, evenly by rank: nothing was scored."
    true = {image: maps.truth(image, label) for image in maps.images}
    told = {image: f"{label}: {TRUTH[value]}" for image, value in true.items() if value in TRUTH}
    return Ranking(values, "logit", f"{why} Below the output: the true label." if told else why, told)


def _by_class(labels: Sequence[str], maps: Saliency) -> Ranking:
    """By the probability (softmax) of each image's own label: the true one, or where none is known for any
    image the predicted one."""
    logits, truths = (
        np.array([[of(image, label) for label in labels] for image in maps.images]).reshape(-1, len(labels))
        for of in (maps.logit, maps.truth)
    )
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))  # (images, labels)
    shares, predicted = powers / powers.sum(axis=1, keepdims=True), logits.argmax(axis=1)
    known = (truths == 1.0).sum(axis=1) == 1
    own = (truths == 1.0).argmax(axis=1) if known.any() else predicted
    values = pd.Series(shares[np.arange(len(own)), own], index=list(maps.images))
    why = "From the highest to the lowest probability (softmax) that the model gives the {} label, evenly by "
    why += "rank: nothing was scored. Below it: {}."
    if not known.any():
        told = {image: labels[at] for image, at in zip(maps.images, predicted)}
        return Ranking(values, OF_PREDICTED, why.format("predicted", "the predicted label"), told)
    told = {
        image: f"true: {labels[at]}" + (f"\nsaid: {labels[said]}" if said != at else "")
        for image, at, said in zip(maps.images, own, predicted)
    }
    below = "the true label, and the predicted one where it is another"
    return Ranking(values.where(known), OF_TRUE, why.format("true", below), told)


def _scored(
    scores: pd.DataFrame, keys: Mapping[str, object], references: Sequence[str]
) -> tuple[pd.Series, str] | None:
    """The images' means over the rows with `keys`, by the first of `references` and `RANKED_BY` there is."""
    for key, value in keys.items():
        scores = scores[scores[key] == value]
    for reference, metric in product(references, RANKED_BY):
        rows = scores[(scores["reference"] == reference) & (scores["metric"] == metric)]
        if len(rows):
            what = f"{words.metric(metric).title} ({words.plain(reference)})"
            return rows.groupby("image")["value"].mean(), what
    return None


def spread(values: pd.Series, count: int, true: Mapping[str, str] | None = None) -> pd.DataFrame:
    """`count` images from the best to the worst by `values` (image -> value), evenly by rank, ends included.

    Columns: image, value, rank (from 1), of, true (as `Ranking` has it, else ""). Ties are ordered by the
    image's id; fewer images than asked for are all shown.
    """
    ordered = values.dropna().rename_axis("image").reset_index(name="value")
    ordered = ordered.sort_values(["value", "image"], ascending=[False, True], ignore_index=True)
    ordered = ordered.assign(rank=ordered.index + 1, of=len(ordered))
    at = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    ordered["true"] = [(true or {}).get(image, "") for image in ordered["image"]]
    return ordered.iloc[np.unique(at)].reset_index(drop=True)


def place(row: pd.Series, what: str) -> str:
    """A case's title: its rank, first and last by name, its value (the caption names the reference), and
    what is `true` of it where the row says so."""
    rank = f"{row['rank']:,} of {row['of']:,}"
    if not what:
        return f"Image {rank}"
    first, last = ("Highest\n", "Lowest\n") if what in OUTPUTS else ("Best\n", "Worst\n")
    ends = {1: first, row["of"]: last} if row["of"] > 1 else {}
    told = f"{ends.get(row['rank'], '')}{rank}\n{what.split(' (')[0]} {words.signed(row['value'], 2)}"
    return f"{told}\n{row['true']}" if row.get("true") else told


# ---- what stands beside each


def build(
    chosen: pd.DataFrame, what: str, beside: Beside, shown: Sequence[Shown], outlined: Sequence[Mapping]
) -> list[Case]:
    """A case per row of `chosen` (as `spread` gives it; the values are of `what`), in its order.

    Panels as in the chest x-ray gaze study's figure: a reader, the other readers, the lungs' hull, the center
    bias, then each of `shown`. The boxes of the regions `outlined` ({of, label, reader}) are
    drawn.
    """
    images = beside.images.set_index("image", drop=False)
    return [
        _case(row, images.loc[row["image"]], what, beside, (shown, outlined)) for _, row in chosen.iterrows()
    ]


def _case(
    chosen: pd.Series,
    row: pd.Series,
    what: str,
    beside: Beside,
    drawn: tuple[Sequence[Shown], Sequence[Mapping]],
) -> Case:
    (shown, outlined), image = drawn, chosen["image"]
    shape = (int(row["height"]), int(row["width"]))
    frame = scoring_frame(shape, beside.scale)
    panels = _references(image, beside) | {one.title: one.on(image, frame) for one in shown}
    film = picture(image, shape, beside)
    there = {name: panel for name, panel in panels.items() if isinstance(panel, np.ndarray)}
    return Case(
        place(chosen, what),
        film,
        there,
        frozenset(one.title for one in shown if one.signed),
        _outlines(row, beside, outlined, film.shape),
        {name: words.plain(panel.status) for name, panel in panels.items() if name not in there},
    )


def picture(image: str, shape: tuple[int, int], beside: Beside) -> np.ndarray:
    """The stored pixels of `image` (of `shape`) without the padding: uint8 (h, w) or (h, w, 3).

    In the image's own aspect and direction, black where nothing is stored of it.
    """
    frame = beside.pixels.frame(image, beside.side, "explain")
    scales = np.abs(frame.scale)
    if np.ptp(scales) * max(shape) > 1.0:  # squeezed into another aspect, not only rounded
        scales = np.full(2, scales.max())
    whole = Frame.resized(shape, tuple(round(side * scale) for side, scale in zip(shape, scales[::-1])))
    stored = beside.pixels.get(image, beside.side, "explain")
    planes = stored if stored.ndim == 2 else np.moveaxis(stored, -1, 0)
    film = np.where(frames.shown(frame, whole), resample(planes, frame, whole), 0.0).round().astype(np.uint8)
    return film if film.ndim == 2 else np.moveaxis(film, 0, -1)


def _references(image: str, beside: Beside) -> dict[str, Answer]:
    """The panels of readers, center bias and hull: all that the dataset has, absent ones with the reason."""
    panels: dict[str, Answer] = {}
    if beside.gaze is not None:
        read = [values for _, values in beside.gaze.readings(image) if isinstance(values, np.ndarray)]
        panels["reader"] = read[0] if read else Absent("no reader", "")
        alone = Absent("one reader only" if read else "no reader", "")
        panels["other_readers"] = scoring.others(read)[0] if len(read) > 1 else alone
        for leave_out in beside.gaze.leave_outs[:1]:
            biases = beside.gaze.center_bias(image)
            panels["center_bias"] = biases.get(leave_out, Absent("missing", ""))
    if beside.lungs is not None:
        mask = beside.lungs.mask(image)
        panels["hull"] = baselines.hull(mask) if isinstance(mask, np.ndarray) else mask
    return panels


def _outlines(
    row: pd.Series, beside: Beside, regions: Sequence[Mapping], shape: tuple[int, int]
) -> list[Outline]:
    """The boxes of any of `regions` on the image `row`, in the pixels of its picture of `shape`."""
    boxes = beside.boxes[beside.boxes["image"] == row["image"]]
    marked = np.zeros(len(boxes), dtype=bool)
    for region in regions:
        asked = {"kind": region["of"], "label": region.get("label"), "reader": region.get("reader")}
        here = [boxes[column] == value for column, value in asked.items() if value is not None]
        marked |= np.logical_and.reduce(here)
    found = boxes[marked].copy()
    for axis, scale in (("x", shape[1] / row["width"]), ("y", shape[0] / row["height"])):
        for end in ("min", "max"):  # a box's sides are edges of pixels, a picture's first edge lies at -0.5
            found[axis + end] = found[axis + end] * scale - 0.5
    columns = ["xmin", "ymin", "xmax", "ymax", "shape", "label"]
    return [Outline(*box) for box in found[columns].itertuples(index=False, name=None)]


# ---- words


def title(row: Mapping, rows: Sequence[Mapping]) -> str:
    """A panel's title: the method, and, a line each, what tells it from the other maps that are shown."""
    parts = [words.method(row["method"])]
    if len({other["reading"] for other in rows if other["method"] == row["method"]}) > 1:
        parts.append(words.plain(row["reading"]))
    if len({other["model"] for other in rows}) > 1:
        parts.append(words.plain(row["model"]))
    if row["condition"] != "clean":
        parts.append(words.condition(row["condition"]))
    return "\n".join(parts)


def said(rows: Sequence[Mapping]) -> str:
    """A sentence on which maps are shown: the seed and reading of each method, for there may be more."""
    if not rows:
        return ""
    readings = dict.fromkeys(
        f"{words.method(row['method'])} read as {words.plain(row['reading'])}" for row in rows
    )
    seeds = sorted({int(row["seed"]) for row in rows})
    return f"Maps of seed {words.span(seeds)}, {', '.join(readings)}."


def cut_said(kind: str | None) -> str:
    """A sentence on where maps end, where pictures were cut to a region of `kind`."""
    if kind is None:
        return ""
    return (
        f"Pictures were cut to the {words.plain(kind)}: the model saw nothing beyond it, and there is no map."
    )
