"""Made-up tables of a gaze study, deterministic: two models, Grad-CAM with three readings, attention maps,
baselines."""

import numpy as np
import pandas as pd

from sightline import tables
from sightline.randomness import generator

MODELS = ("ag_sononet", "sononet")
LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
INTERVAL = "95% crossed bootstrap, 10000 resamples of {} subjects and {} seeds"
# (model, method, reading) -> NCC, AUC, sNCC, sAUC: near what the literature reports
MEANS = {
    ("", "interobserver", ""): (0.63, 0.79, 0.03, 0.558),
    ("", "hull", ""): (0.64, 0.735, -0.19, 0.505),
    ("", "center_bias", ""): (0.66, 0.77, -0.33, 0.44),
    ("", "uniform_noise", ""): (0.0, 0.5, 0.0, 0.5),
    ("sononet", "gradcam", "thresholded"): (0.25, 0.596, -0.035, 0.51),
    ("sononet", "gradcam", "weighted"): (0.41, 0.683, -0.06, 0.521),
    ("sononet", "gradcam", "uniform"): (0.44, 0.696, -0.067, 0.522),
    ("ag_sononet", "gradcam", "thresholded"): (0.19, 0.583, -0.002, 0.512),
    ("ag_sononet", "gradcam", "weighted"): (0.3, 0.672, 0.027, 0.528),
    ("ag_sononet", "gradcam", "uniform"): (0.34, 0.678, 0.029, 0.529),
    ("ag_sononet", "am1", ""): (0.25, 0.672, -0.032, 0.514),
    ("ag_sononet", "am2", ""): (0.36, 0.684, -0.007, 0.522),
}
METRICS = ("ncc", "auc", "sncc", "sauc")
HALF = {"ncc": 0.031, "auc": 0.014, "sncc": 0.026, "sauc": 0.0091}


def summary() -> pd.DataFrame:
    """All images, normal and abnormal; random weights for every model; three center biases."""
    rows = []
    for (model, method, reading), means in MEANS.items():
        for metric, mean in zip(METRICS, means):
            for bias, gain in (
                (("none", 0.0), ("image", 0.006), ("subject", 0.0075)) if metric[0] == "s" else (("", 0),)
            ):
                row = {
                    "dataset": "cxr",
                    "model": model,
                    "condition": "clean",
                    "method": method,
                    "reading": reading,
                    "reference": "gaze",
                    "metric": metric,
                    "center_bias": bias,
                }
                rows.append(_summed(row, "", "", mean + gain, 91, HALF[metric]))
                rows.append(_summed(row, "abnormal", "normal", mean + gain - 0.03, 17, HALF[metric] * 2.3))
                rows.append(_summed(row, "abnormal", "abnormal", mean + gain + 0.008, 74, HALF[metric] * 1.1))
                if model:
                    chance = 0.5 if "auc" in metric else 0.0
                    row = {**row, "condition": "random"}
                    rows.append(_summed(row, "", "", 0.6 * chance + 0.4 * mean, 91, HALF[metric]))
    return _conform("summary", pd.DataFrame(rows))


def _summed(row: dict, stratum: str, level: str, mean: float, images: int, half: float) -> dict:
    seeds = 5 if row["model"] else 1
    return {
        **row,
        "stratum": stratum,
        "level": level,
        "mean": mean,
        "low": mean - half,
        "high": mean + 0.97 * half,
        "sd": half * 4,
        "rows": images * 5 * seeds,
        "images": images,
        "subjects": images - 1,
        "seeds": seeds,
        "excluded": 3 if row["method"] == "gradcam" and row["reading"] == "thresholded" else 0,
        "excluded_why": "undefined: 3"
        if row["method"] == "gradcam" and row["reading"] == "thresholded"
        else "",
        "interval": INTERVAL.format(images - 1, seeds),
    }


def published() -> pd.DataFrame:
    """As a paper's table prints them: mean, low, high per method, model, reading and metric."""
    rows = [
        {
            "method": method,
            "model": model,
            "reading": reading,
            "metric": metric,
            "mean": mean + 0.01,
            "low": mean + 0.01 - HALF[metric],
            "high": mean + 0.01 + HALF[metric],
            "source": f"A paper 2022, Table {2 if model else 1}",
        }
        for (model, method, reading), means in MEANS.items()
        if method not in ("center_bias", "uniform_noise")
        for metric, mean in zip(METRICS, means)
    ]
    return pd.DataFrame(rows)


def regions() -> pd.DataFrame:
    """A study without gaze: the mass of maps inside lungs and boxes, on two datasets, trained and random
    weights."""
    rows = []
    for dataset, reference, images, inside in (
        ("kermany", "lungs", 60, 0.52),
        ("covid_open", "lungs", 72, 0.47),
        ("covid_open", "finding", 41, 0.21),
    ):
        for metric in ("auc", "mass_inside", "mass_over_area", "pointing_game"):
            for condition, less in (("clean", 0.0), ("random", 0.16)):
                row = {
                    "dataset": dataset,
                    "model": "resnet",
                    "condition": condition,
                    "method": "gradcam",
                    "center_bias": "",
                    "reading": "weighted",
                    "reference": reference,
                    "metric": metric,
                }
                more = 0.12 if metric == "pointing_game" else 0.0
                mean = (inside + more - less) * (2.0 if metric == "mass_over_area" else 1.0)
                rows.append(_summed(row, "", "", mean, images, 0.04 + more / 3))
    return _conform("summary", pd.DataFrame(rows))


AREAS = {("kermany", "lungs"): 0.34, ("covid_open", "lungs"): 0.29, ("covid_open", "finding"): 0.12}


def scores(images: int = 91) -> pd.DataFrame:
    """A row per image, seed and metric around the means."""
    rng, parts = generator(0, "made_up_scores"), []
    for (model, method, reading), means in MEANS.items():
        for metric, mean in zip(METRICS, means):
            for seed in range(2 if model else 1):
                value = rng.normal(mean, {"ncc": 0.14, "auc": 0.06}.get(metric.lstrip("s"), 0.1), images)
                parts.append(
                    pd.DataFrame(
                        {
                            "dataset": "cxr",
                            "model": model,
                            "seed": seed,
                            "condition": "clean",
                            "method": method,
                            "reading": reading,
                            "image": [f"i{n:04d}" for n in range(images)],
                            "subject": [f"s{n:04d}" for n in range(images)],
                            "reference": "gaze",
                            "reader": "r0",
                            "metric": metric,
                            "center_bias": "image" if metric[0] == "s" else "",
                            "value": value,
                            "status": "ok",
                            "reason": None,
                        }
                    )
                )
    frame = pd.concat(parts, ignore_index=True)
    lost = (frame["method"] == "gradcam") & (frame["image"] == "i0003") & (frame["reading"] == "thresholded")
    frame.loc[lost, ["status", "reason"]] = ["undefined", "constant map"]
    frame.loc[lost, "value"] = np.nan
    return _conform("scores", frame)


def region_scores(images: int) -> pd.DataFrame:
    """A map against a region that some images lack: two seeds, shares near zero, hits and misses."""
    rng, parts = generator(0, "made_up_region_scores"), []
    names = [f"i{n:04d}" for n in range(images)]
    for metric in ("mass_inside", "pointing_game"):
        for seed in range(2):
            share = rng.beta(1, 9, images)
            part = {
                "dataset": "covid_open",
                "model": "resnet",
                "seed": seed,
                "condition": "clean",
                "method": "gradcam",
                "reading": "weighted",
                "image": names,
                "subject": names,
                "reference": "finding",
                "reader": "",
                "metric": metric,
                "center_bias": "",
                "value": share if metric == "mass_inside" else (rng.random(images) < 0.5).astype(float),
                "status": "ok",
                "reason": None,
            }
            parts.append(pd.DataFrame(part))
    frame = pd.concat(parts, ignore_index=True)
    lacks = frame["image"].isin(names[:: max(1, images // 6)])
    frame.loc[lacks, ["status", "reason"]] = ["not_applicable", "the image has no box"]
    frame.loc[lacks, "value"] = np.nan
    return _conform("scores", frame)


def comparisons() -> pd.DataFrame:
    rows = [
        {
            "family": "methods",
            "dataset": "cxr",
            "reading": "uniform",
            "reference": "gaze",
            "metric": "sauc",
            "center_bias": "image",
            "stratum": "",
            "level": "",
            "a": f"gradcam/uniform@{model}",
            "b": other,
            "difference": difference,
            "low": difference - 0.009,
            "high": difference + 0.008,
            "p": p,
            "p_corrected": 3 * p,
            "images": 91,
            "subjects": 90,
            "seeds": 5,
            "test": "sign flips per subject, 10,000",
            "interval": INTERVAL.format(90, 5),
        }
        for model, other, difference, p in (
            ("ag_sononet", "interobserver", -0.029, 0.0001),
            ("ag_sononet", "gradcam/uniform@ag_sononet+random", 0.018, 0.0021),
            ("sononet", "gradcam/uniform@sononet+random", 0.0041, 0.31),
        )
    ]
    return _conform("comparisons", pd.DataFrame(rows))


def classification() -> pd.DataFrame:
    rng, rows = generator(0, "made_up_classification"), []
    for model in MODELS:
        values = rng.uniform(0.66, 0.87, len(LABELS))
        for label, value, positives in zip(LABELS, values, range(4, 60, 4)):
            defined = label != "Pleural Other"
            rows.append(
                _classified(model, label, value if defined else np.nan, int(positives) if defined else 0)
            )
        rows.append(_classified(model, "mean", float(values.mean()), 240))
    return _conform("classification", pd.DataFrame(rows))


def _classified(model: str, label: str, value: float, positives: int) -> dict:
    half = 0.6 / (positives + 6) ** 0.9
    return {
        "dataset": "cxr",
        "model": model,
        "condition": "clean",
        "label": label,
        "metric": "auc",
        "value": value,
        "low": value - half,
        "high": min(1.0, value + half),
        "positives": positives,
        "images": 91,
        "seeds": 5,
        "status": "ok" if positives else "undefined",
        "interval": "95% t over 5 seeds, images fixed",
    }


def curves(epochs: int = 30) -> pd.DataFrame:
    rng, rows = generator(0, "made_up_curves"), []
    for model in MODELS:
        for seed in range(5):
            shift = rng.normal(0, 0.01)
            for epoch in range(1, epochs + 1):
                fall = 0.32 * np.exp(-epoch / 6)
                for quantity, value in {
                    "train_loss": 0.28 + fall - 0.001 * epoch + shift,
                    "val_loss": 0.31 + fall + shift + 0.0006 * max(0, epoch - 15) + rng.normal(0, 0.006),
                    "val_auc": 0.78 - 0.22 * np.exp(-epoch / 7) + shift + rng.normal(0, 0.004),
                }.items():
                    rows.append(
                        {"model": model, "seed": seed, "epoch": epoch, "quantity": quantity, "value": value}
                    )
    return _conform("curves", pd.DataFrame(rows))


def trainings() -> pd.DataFrame:
    rows = [
        {
            "model": model,
            "seed": seed,
            "epochs": 4,
            "best_epoch": 2 + seed % 2,
            "stopped": "epochs",
            "parameters": 1_000_000,
            "trained": 1_000_000,
            "initial": "random",
        }
        for model in MODELS
        for seed in range(5)
    ]
    return _conform("trainings", pd.DataFrame(rows))


def cohort() -> pd.DataFrame:
    flows = {
        "training": (
            ("images in the upstream tables", 377110, 65379),
            ("frontal view (PA or AP)", 243334, 63945),
            ("labelled", 240191, 63001),
            ("one frontal image in the study", 217913, 61214),
            ("subject not among those evaluated", 210402, 59077),
        ),
        "evaluation": (
            ("readings with eye tracking", 2616, 2199),
            ("not discarded", 2616, 2199),
            ("read by five readers", 91, 90),
        ),
    }
    rows = [
        {"dataset": "cxr", "flow": flow, "step": step, "filter": name, "images": images, "subjects": subjects}
        for flow, steps in flows.items()
        for step, (name, images, subjects) in enumerate(steps)
    ]
    return _conform("cohort", pd.DataFrame(rows))


def skipped() -> pd.DataFrame:
    rows = [
        {
            "dataset": "cxr",
            "stage": "prepare",
            "item": f"i{n}",
            "path": f"files/p10/i{n}.jpg",
            "reason": reason,
        }
        for n, reason in enumerate(
            ["files/p10/i0.jpg: truncated", "files/p10/i1.jpg: truncated", "not an image <b>at all</b>"]
        )
    ]
    return _conform("skipped", pd.DataFrame(rows))


def film(height: int = 240, width: int = 200) -> np.ndarray:
    """A chest-like picture, uint8."""
    y, x = np.mgrid[0:height, 0:width]
    value = 150 + 40 * np.sin(y / height * 20) * (abs(x - width / 2) < width * 0.4)
    for side in (0.3, 0.7):
        lung = ((x - side * width) / (0.17 * width)) ** 2 + ((y - 0.45 * height) / (0.3 * height)) ** 2
        value = np.where(lung < 1, value - 95 * (1 - 0.5 * lung), value)
    return np.clip(value, 0, 255).astype(np.uint8)


def blob(centre: tuple[float, float], spread: float, shape: tuple[int, int] = (60, 50)) -> np.ndarray:
    """A Gaussian at `centre` (y, x) in shares of the sides."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.exp(-(((y / shape[0] - centre[0]) ** 2 + (x / shape[1] - centre[1]) ** 2) / (2 * spread**2)))


def _conform(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Through the schema, so that the made-up tables are tables."""
    return tables.conform(name, frame, "made up").to_pandas()
