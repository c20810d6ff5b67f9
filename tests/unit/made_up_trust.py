"""Made-up evidence on trust in maps: twelve methods, their probes, agreements, identities and pictures."""

import numpy as np
import pandas as pd

from sightline.figures import overlays, trust
from sightline.randomness import generator
from tests.unit import made_up_study as made_up

# method -> (sAUC, deletion, insertion, sensitivity, Spearman with random weights, identity, gap)
METHODS = {
    "gradcam": (0.52, 0.31, 0.66, 0.3, 0.12, None, None),
    "hirescam": (0.53, 0.29, 0.68, 0.28, 0.1, "completeness", 2e-7),
    "layercam": (0.525, 0.3, 0.67, 0.25, 0.2, None, None),
    "gradient": (0.50, 0.36, 0.52, 1.3, 0.05, None, None),
    "integrated_gradients": (0.51, 0.25, 0.55, 0.9, 0.15, "completeness", 0.11),
    "deeplift": (0.51, 0.26, 0.56, 0.8, 0.17, "completeness", 1e-5),
    "guided_backprop": (0.515, 0.34, 0.54, 0.4, 0.81, "differs_from_gradient", 1.4),
    "lrp": (0.52, 0.27, 0.58, 0.5, 0.4, "conservation", 3e-3),
    "occlusion": (0.53, 0.24, 0.7, 0.35, 0.02, None, None),
    "rise": (0.521, 0.3, 0.69, 0.6, -0.03, None, None),
    "kernel_shap": (0.518, 0.28, 0.65, 0.7, 0.04, "completeness", 0.0),
    "am1": (None,) * 7,
}
READINGS = {
    name: "weighted" if "cam" in name else "attention" if name == "am1" else "signed" for name in METHODS
}
WHY = "this network has no attention 'am1'; expected one of its ATTENTION, of which there are none"
METRICS = ("sauc", "deletion", "insertion", "sensitivity_max")
HALF = {"sauc": 0.009, "deletion": 0.02, "insertion": 0.02, "sensitivity_max": 0.06}
ASKED = trust.Asked("cxr", "sononet", READINGS, "gaze", "random", "image")
CONDITIONS = {
    "clean": {"kind": "clean", "options": {}},
    "random": {"kind": "randomise", "options": {"layers": "all", "order": "top_down"}},
    "last_3": {"kind": "randomise", "options": {"layers": 3, "order": "top_down"}},
    "last": {"kind": "randomise", "options": {"layers": 1, "order": "top_down"}},
    "first": {"kind": "randomise", "options": {"layers": 1, "order": "bottom_up"}},
    "rotate180": {"kind": "rotate180", "options": {}},
}


def summary() -> pd.DataFrame:
    """Scores against gaze, probes, and sparseness, of the clean maps."""
    rows = []
    for method, values in METHODS.items():
        for metric, mean in (*zip(METRICS, values), ("gini", 0.5)):
            probe = metric in METRICS[1:]
            row = {
                "dataset": "cxr",
                "model": "sononet",
                "condition": "clean",
                "method": method,
                "reading": "predicted" if probe else READINGS[method],
                "reference": "gaze" if metric == "sauc" else "",
                "metric": metric,
                "center_bias": "image" if metric == "sauc" else "",
            }
            rows.append(_summed(row, mean if method != "am1" else None, HALF.get(metric, 0.02)))
    return made_up._conform("summary", pd.DataFrame(rows))


def _summed(row: dict, mean: float | None, half: float) -> dict:
    there = mean is not None
    return row | {
        "stratum": "",
        "level": "",
        "mean": mean if there else np.nan,
        "low": mean - half if there else np.nan,
        "high": mean + half if there else np.nan,
        "sd": 3 * half if there else np.nan,
        "rows": 182 if there else 0,
        "images": 91 if there else 0,
        "subjects": 90 if there else 0,
        "seeds": 2 if there else 0,
        "excluded": 0 if there else 182,
        "excluded_why": "" if there else "not_applicable: 182",
        "interval": made_up.INTERVAL.format(90, 2) if there else "no usable row",
    }


def agreements() -> pd.DataFrame:
    """Agreement with the clean maps of three stages of a cascade and a turned image, and between seeds."""
    rows = []
    for method, values in METHODS.items():
        left = values[4]
        for condition, share in (("last", 0.4), ("last_3", 0.8), ("random", 1.0), ("rotate180", 0.1)):
            mean = None if left is None else 1.0 - share * (1.0 - left)
            rows += _agreed(method, "randomisation", "condition", condition, mean)
        rows += _agreed(method, "seeds", "seed", "clean", None if left is None else 0.3 + left / 2)
    return made_up._conform("agreement_summary", pd.DataFrame(rows))


def _agreed(method: str, kind: str, axis: str, condition: str, mean: float | None) -> list[dict]:
    sides = {"model_a": "sononet", "condition_a": condition, "method_a": method}
    sides |= {"model_b": "sononet", "condition_b": "clean", "method_b": method}
    row = {"dataset": "cxr", "kind": kind, "axis": axis, **sides, "reading": READINGS[method]}
    found = []
    for metric, less in (("spearman", 0.0), ("ssim", 0.08)):
        value = None if mean is None else mean - less
        row = row | {"metric": metric}
        found.append({key: value for key, value in _summed(row, value, 0.05).items() if key not in DROPPED})
    return found


DROPPED = ("stratum", "level")


def maps() -> pd.DataFrame:
    """What became of the maps: one method does not fit the model, one failed on some."""
    rows = []
    for method, values in METHODS.items():
        identity, gap = values[5], values[6]
        none, failed = method == "am1", 3 if method == "lrp" else 0
        rows.append(
            {
                "dataset": "cxr",
                "model": "sononet",
                "condition": "clean",
                "method": method,
                "seeds": 2,
                "images": 91,
                "maps": 364,
                "ok": 0 if none else 364 - failed,
                "not_applicable": 364 if none else 0,
                "failed": failed,
                "all_zero": 2 if method == "gradcam" else 0,
                "reason": WHY if none else "1 of 4096 values are not finite" if failed else "",
                "identity": identity,
                "gaps": 0 if gap is None else 364 - failed,
                "gap": np.nan if gap is None else gap,
                "gap_low": np.nan if gap is None else gap / 3,
                "gap_high": np.nan if gap is None else 2 * gap,
            }
        )
    return made_up._conform("map_summary", pd.DataFrame(rows))


def cases(count: int = 4) -> list[overlays.Case]:
    """Films with a map of every method, of which one image lacks one, and a constant one."""
    found = []
    for index in range(count):
        draws, panels = generator(0, "made_up_trust", index), {}
        for number, method in enumerate(METHODS):
            blob = made_up.blob((0.3 + 0.1 * index, 0.35 + 0.03 * number), 0.1 + 0.01 * number)
            panels[method] = blob if READINGS[method] != "signed" else blob - 0.5 * draws.random(blob.shape)
        del panels["am1"]
        if index == 1:
            panels["gradcam"] = np.zeros((6, 5))
        absent = {"am1": "not applicable"}
        if index == 2:
            del panels["lrp"]
            absent["lrp"] = "failed"
        signed = frozenset(name for name in panels if READINGS[name] == "signed")
        region = made_up.blob((0.45, 0.4), 0.15) > 0.6
        outline = overlays.Outline(40, 70, 80, 120, "ellipse")
        title = f"{1 + 30 * index} of 91\nsAUC 0.{60 - index}"
        found.append(overlays.Case(title, made_up.film(), panels, signed, [outline], absent, region))
    return found


def columns() -> list[trust.Column]:
    """All columns of the made-up tables."""
    return trust.columns(ASKED, summary(), agreements(), maps())
