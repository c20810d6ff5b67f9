"""Gaze map of a reading of 100 fixations at 3056 x 2544 against a full 2-D normal density per fixation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import multivariate_normal

from benchmarks.measuring import Row, at_least, medians
from sightline import gaze

SHAPE, FIXATIONS, TIMED, REPEATS = (3056, 2544), 100, 3, 3


def fixations(n: int, seed: int = 0) -> pd.DataFrame:
    """`n` invented fixations of a film of `SHAPE`, a third of them zoomed in."""
    random = np.random.default_rng(seed)
    height, width = SHAPE
    duration = random.gamma(2.0, 0.15, n)
    start = np.cumsum(duration + 0.05)
    zoomed = random.random(n) < 1 / 3
    degree = np.where(zoomed, 55, 94) + random.integers(-2, 3, n)
    return pd.DataFrame(
        {
            "timestamp_start_fixation": start,
            "timestamp_end_fixation": start + duration,
            "x_position": random.normal(width / 2, width / 5, n).round(),
            "y_position": random.normal(height / 2, height / 5, n).round(),
            "angular_resolution_x_pixels_per_degree": degree,
            "angular_resolution_y_pixels_per_degree": degree + 1,
            "xmin_shown_from_image": np.where(zoomed, 300, 0),
            "ymin_shown_from_image": np.where(zoomed, 412, 0),
            "xmax_shown_from_image": np.where(zoomed, 2200, width),
            "ymax_shown_from_image": np.where(zoomed, 2700, height),
        }
    )


def by_full_gaussians(frame: pd.DataFrame) -> np.ndarray:
    """The sum over fixations of full 2-D densities at every shown pixel, as the authors; unnormalised."""
    result = np.zeros(SHAPE, dtype=np.float32)
    for row in frame.itertuples():
        top, bottom = round(row.ymin_shown_from_image), round(row.ymax_shown_from_image)
        left, right = round(row.xmin_shown_from_image), round(row.xmax_shown_from_image)
        pixels = np.stack(np.mgrid[top:bottom, left:right], axis=-1)
        sd = (row.angular_resolution_y_pixels_per_degree, row.angular_resolution_x_pixels_per_degree)
        density = multivariate_normal((row.y_position, row.x_position), np.diag(np.square(sd).astype(float)))
        seconds = row.timestamp_end_fixation - row.timestamp_start_fixation
        result[top:bottom, left:right] += seconds * density.pdf(pixels)
    return result


def run(quick: bool) -> list[Row]:
    """Times, ratios and the largest differences."""
    frame, few = fixations(FIXATIONS), fixations(FIXATIONS).iloc[::34][:TIMED]
    repeats = 1 if quick else REPEATS
    calls = {
        "full": lambda: by_full_gaussians(few),
        "ours": lambda: gaze.render(frame, SHAPE),
        "ours at 1/8": lambda: gaze.render(frame, SHAPE, 0.125),
    }
    times = medians(calls, repeats)
    full = times["full"] / len(few) * FIXATIONS
    expected = by_full_gaussians(few)
    expected /= expected.sum()
    difference = np.abs(gaze.render(few, SHAPE) - expected).max() / expected.max()
    blocks = gaze.render(frame, SHAPE).reshape(SHAPE[0] // 8, 8, SHAPE[1] // 8, 8).mean(axis=(1, 3))
    blocks /= blocks.sum()
    eighth = np.abs(gaze.render(frame, SHAPE, 0.125) - blocks).max() / blocks.max()
    print(f"{FIXATIONS} fixations, {SHAPE[0]} x {SHAPE[1]}; CPU time, one thread, median of {repeats}")
    print(f"  full Gaussians, timed for {len(few)} fixations and scaled   {full:9.2f} s      1x")
    for name in ("ours", "ours at 1/8"):
        print(f"  {name:<54}{times[name]:9.4f} s {full / times[name]:6.0f}x")
    print(f"  largest difference of 1/8 from the native map's block means, of the maximum: {eighth:.1e}")
    return [
        at_least("map at native size, over full 2-D Gaussians", full / times["ours"], 100),
        Row("largest difference, of the maximum", f"{difference:.1e}", "below 1e-6", bool(difference < 1e-6)),
    ]
