"""Made-up agreement of eight techniques' maps under six transformations, and one picture with its maps."""

import numpy as np
import pandas as pd

from sightline import tables
from sightline.figures import trust
from sightline.figures.stability import Pictures
from sightline.randomness import generator
from tests.unit import made_up_study as made_up

# method -> what is left of its maps where the image is altered little
METHODS = {
    "gradcam": 0.93, "gradcam_plus_plus": 0.9, "score_cam": 0.8, "gradient": 0.5, "gradient_x_input": 0.6,
    "smoothgrad": 0.7, "integrated_gradients": 0.72, "occlusion": 0.85,
}  # fmt: skip
# transformation -> which share of that is left
WAYS = {
    "log": 0.9, "gaussian_noise": 0.95, "speckle": 0.8, "black_rectangle": 0.7, "affine": 0.5,
    "rotate180": -0.1,
}  # fmt: skip
READINGS = {name: "evidence" if "cam" in name else "predicted" for name in METHODS}
ASKED = trust.Asked("digits", "vit", READINGS, altered=tuple(WAYS))


def agreements() -> pd.DataFrame:
    """Table `agreement_summary`: rank correlation and SSIM with the map of the unaltered image."""
    rows = []
    for method, kept in METHODS.items():
        for way, share in WAYS.items():
            for metric, less in (("spearman", 0.0), ("ssim", 0.1)):
                mean = kept * share - less
                if (method, way) == ("score_cam", "speckle"):
                    mean = np.nan
                sides = {"model_a": "vit", "condition_a": way, "method_a": method}
                sides |= {"model_b": "vit", "condition_b": "clean", "method_b": method}
                rows.append(
                    {"dataset": "digits", "kind": "transformations", "axis": "condition", **sides,
                     "reading": READINGS[method], "metric": metric, "mean": mean, "low": mean - 0.03,
                     "high": mean + 0.03, "sd": 0.2, "rows": 100, "images": 100, "subjects": 100, "seeds": 1,
                     "excluded": 0, "excluded_why": "", "interval": made_up.INTERVAL.format(100, 1)}
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    tables.conform("agreement_summary", frame, "made up")
    return frame


def cells() -> pd.DataFrame:
    """The cells of the matrix."""
    return trust.altered(ASKED, agreements())


def pictures() -> Pictures:
    """A digit under every condition and its maps, one of which is constant and one not there."""
    y, x = np.mgrid[:32, :32]
    ring = np.exp(-((np.hypot(x - 16, y - 15) - 8) ** 2) / 6)
    images = {name: np.uint8(255 * ring) for name in ("clean", *WAYS)}
    images["rotate180"] = images["clean"][::-1, ::-1]
    images["log"] = np.uint8(255 * np.log1p(images["clean"].astype(float)) / np.log(256))
    maps: dict = {}
    for number, method in enumerate(METHODS):
        for name in images:
            draws = generator(0, "made_up_stability", method, name)
            side = 4 if "cam" in method else 32
            noise = draws.random((side, side))
            maps[name, method] = made_up.blob((0.4, 0.5), 0.1 + 0.02 * number)
            if "cam" not in method:
                maps[name, method] = np.resize(ring, (32, 32)) * (noise - 0.4)
    maps["log", "gradcam"] = np.zeros((4, 4))
    maps["speckle", "score_cam"] = "failed"
    return Pictures(images, maps, frozenset(name for name in METHODS if "cam" not in name))
