"""Four exact metrics at 1/8 scale against the authors' sampling over native pixels, and what 1/8 changes."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.measuring import Row, at_least, below, medians
from sightline import frames
from sightline.scores import scoring
from sightline.scores.scoring import GazeReference

NATIVE, SCALE, REPEATS, CASES = (3056, 2544), 0.125, 7, 50
NAMES = ("ncc", "sncc", "auc", "sauc")
# the full study: each method and seed gives a map of each film
FILMS, FILMS_OF_FIVE, METHODS, SEEDS = 2616, 91, 10, 5


def blobs(random: np.random.Generator, shape: tuple[int, int], count: int, width: float) -> np.ndarray:
    """A sum of `count` normal densities of sd about `width` of the side: gaze-like, float32, sum 1."""
    rows, columns = np.arange(shape[0]) / shape[0], np.arange(shape[1]) / shape[1]
    centres, sd = random.normal(0.5, 0.17, (2, count)), width * random.uniform(0.7, 1.4, (2, count))
    weight = random.gamma(2.0, 1.0, count)
    down = np.exp(-0.5 * ((rows - centres[0][:, None]) / sd[0][:, None]) ** 2) * weight[:, None]
    across = np.exp(-0.5 * ((columns - centres[1][:, None]) / sd[1][:, None]) ** 2)
    values = down.T @ across
    return (values / values.sum()).astype(np.float32)


def cam(random: np.random.Generator) -> np.ndarray:
    """A coarse non-negative map (17 x 17), as Grad-CAM gives."""
    return np.maximum(cv2.GaussianBlur(random.normal(size=(17, 17)), (5, 5), 1.2), 0.0)


def attention(random: np.random.Generator) -> np.ndarray:
    """A finer sigmoid map (68 x 68), as an attention gate gives."""
    return 1 / (1 + np.exp(-3 * cv2.GaussianBlur(random.normal(size=(68, 68)), (9, 9), 2.0)))


def hull(random: np.random.Generator) -> np.ndarray:
    """A binary ellipse at native size."""
    rows, columns = np.ogrid[: NATIVE[0], : NATIVE[1]]
    down, across = random.uniform(0.28, 0.42, 2)
    return (
        (rows / NATIVE[0] - 0.5) ** 2 / down**2 + (columns / NATIVE[1] - 0.5) ** 2 / across**2 < 1
    ).astype(float)


def scaled(values: np.ndarray, scale: float, kind: str = "linear") -> np.ndarray:
    """A map that spans the film, in the scoring frame of `scale`."""
    source = frames.Frame.resized(NATIVE, values.shape)
    return frames.resample(values, source, frames.scoring_frame(NATIVE, scale), kind).astype(np.float32)


def authors_way(saliency: np.ndarray, reference: np.ndarray, bias: np.ndarray) -> list[float]:
    """NCC, sNCC, AUC, sAUC as the authors compute them: float32, 1000 + 1000 native pixels drawn."""

    def correlation(a: np.ndarray, v: np.ndarray) -> float:
        return np.mean((a - a.mean()) * (v - v.mean())) / np.std(v) / np.std(a)

    def drawn(negative: np.ndarray | None) -> float:
        values = saliency.ravel()
        p = None if negative is None else (negative / negative.sum()).ravel()
        below = np.random.choice(values, 1000, p=p)
        above = np.random.choice(values, 1000, p=(reference / reference.sum(dtype=np.float64)).ravel())
        return roc_auc_score(np.repeat([0, 1], 1000), np.concatenate([below, above]))

    plain = correlation(reference, saliency)
    against = correlation(bias.astype(np.float32), saliency)
    return [plain, correlation(reference, saliency) - against, drawn(None), drawn(bias)]


def speed(repeats: int) -> list[Row]:
    """One map against one and five references; and the study's own function, tables and all, projected."""
    random = np.random.default_rng(0)
    native = [blobs(random, NATIVE, 60, 0.04) for _ in range(2)]
    bias, values = blobs(random, NATIVE, 300, 0.08).astype(np.float64), cam(random)
    wide, small = scaled(values, 1.0), scaled(values, SCALE)
    gaze = [scaled(blobs(random, NATIVE, 60, 0.04), SCALE) for _ in range(5)]
    small_bias = {"image": scaled(bias, SCALE)}
    images = pd.DataFrame({"image": [str(at) for at in range(10)], "subject": "s"})

    def study(readers: int) -> None:
        reference = GazeReference(
            "gaze",
            lambda image: [(str(at), gaze[at]) for at in range(readers)],
            lambda image: small_bias,
            ("image",),
        )
        maps_of = scoring.MapsOf("cxr", "m", 0, "clean", "gradcam")
        scoring.score(maps_of, images, [""], lambda image, reading: small, [reference], NAMES)

    times = medians(
        {
            "authors": lambda: authors_way(wide, native[0], bias),
            "one": lambda: scoring.score_image(small, gaze[:1], small_bias, NAMES),
            "five": lambda: scoring.score_image(small, gaze, small_bias, NAMES),
            "study, one": lambda: study(1),
            "study, five": lambda: study(5),
        },
        repeats,
    )
    authors = times["authors"]
    print(f"four metrics of one map (CPU time, one thread, median of {repeats})")
    print(f"  authors' way, native pixels, one reference    {1e3 * authors:10.1f} ms    1x")
    for name, count in (("one", 1), ("five", 5)):
        what = f"exact, {small.shape[0]} x {small.shape[1]}, {name} reference(s)"
        print(f"  {what:<46}{1e3 * times[name]:10.1f} ms {count * authors / times[name]:4.0f}x")
    one, five = times["study, one"] / len(images), times["study, five"] / len(images)
    maps = METHODS * SEEDS
    plain, mixed = FILMS * maps * one, ((FILMS - FILMS_OF_FIVE) * one + FILMS_OF_FIVE * five) * maps
    theirs = ((FILMS - FILMS_OF_FIVE) + 5 * FILMS_OF_FIVE) * maps * authors
    print(f"full study, {FILMS} films x {METHODS} methods x {SEEDS} seeds, rows included, on 2 cores")
    print(f"  one reference a film: {1e3 * one:.1f} ms a map, {plain / 120:.1f} min")
    print(f"  {FILMS_OF_FIVE} films of five readers ({1e3 * five:.1f} ms a map): {mixed / 120:.1f} min")
    print(f"  the authors' way: {FILMS * maps * authors / 7200:.1f} h and {theirs / 7200:.1f} h")
    return [
        at_least("four metrics, one reference, over the authors' way", authors / times["one"], 25),
        at_least("four metrics, five references, over the authors' way", 5 * authors / times["five"], 100),
        below(
            f"full study projected, 2 cores (the authors' way: {theirs / 7200:.0f} h)", mixed / 120, 20, "min"
        ),
    ]


def effect_of_scale(cases: int) -> Row:
    """What scoring at 1/8 of the side changes, over `cases` cases; gaze is area-averaged from native."""
    random = np.random.default_rng(1)
    kinds = {"CAM-like": (cam, "linear"), "attention-like": (attention, "linear"), "hull": (hull, "nearest")}
    changes: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for case in range(cases):
        kind = list(kinds)[case % 3]
        make, resampling = kinds[kind]
        values = make(random)
        native_gaze, native_bias = blobs(random, NATIVE, 60, 0.04), blobs(random, NATIVE, 300, 0.08)
        at_native = scoring.score_image(
            scaled(values, 1.0, resampling) if kind != "hull" else values,
            [native_gaze],
            {"none": native_bias},
            NAMES,
        )
        at_eighth = scoring.score_image(
            scaled(values, SCALE, resampling),
            [scaled(native_gaze, SCALE)],
            {"none": scaled(native_bias, SCALE)},
            NAMES,
        )
        changes[kind].append([abs(at_eighth[key][0] - at_native[key][0]) for key in at_native])
        order = [name for name, _ in at_native]
    print(f"|change| from native to 1/8 of the side, {cases} synthetic cases: mean (largest)")
    for kind, found in [*changes.items(), ("all", [row for rows in changes.values() for row in rows])]:
        found = np.array(found)
        cells = "  ".join(
            f"{name} {found[:, at].mean():.1e} ({found[:, at].max():.1e})" for at, name in enumerate(order)
        )
        print(f"  {kind:<15} n={len(found):<3} {cells}")
    return Row(f"largest change from native to 1/8, {cases} cases", f"{found.max():.1e}")


def run(quick: bool) -> list[Row]:
    """Both parts."""
    return [*speed(2 if quick else REPEATS), effect_of_scale(6 if quick else CASES)]
