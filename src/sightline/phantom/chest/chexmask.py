"""Rows of CheXmask's table for MIMIC-CXR-JPG: run-length masks of lungs and heart, landmarks, quality."""

from __future__ import annotations

import cv2
import numpy as np

from sightline.phantom.chest.anatomy import Anatomy, Place

PATH = "chexmask-cxr-segmentation-data/1.0.0/OriginalResolution/MIMIC-CXR-JPG.csv"
COLUMNS = (
    "dicom_id",
    "Dice RCA (Max)",
    "Dice RCA (Mean)",
    "Landmarks",
    "Left Lung",
    "Right Lung",
    "Heart",
    "Height",
    "Width",
)
POINTS = {"right": 44, "left": 50, "heart": 26}  # landmarks per organ, in the order of the column


def encode(mask: np.ndarray) -> str:
    """CheXmask's run-length text of a mask (H, W): "start length ..." over rows, starts counted from 1."""
    flat = np.concatenate([[0], (np.asarray(mask) != 0).ravel().view(np.uint8), [0]])
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, stops = changes[::2], changes[1::2]
    return " ".join(map(str, np.stack([starts, stops - starts], axis=1).ravel().tolist()))


def _filled(outline: np.ndarray, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask


def _landmarks(outline: np.ndarray, points: int) -> np.ndarray:
    return outline[np.linspace(0, len(outline), points, endpoint=False).astype(int)]


def row(
    dicom: str, size: tuple[int, int], anatomy: Anatomy, place: Place, rng: np.random.Generator, poor: bool
) -> dict[str, object]:
    """One image's row.

    A `poor` one is what a failed segmentation leaves: shifted and shrunk, Dice RCA (Mean) below 0.7.
    """
    height, width = size
    outlines = {
        "right": place.to_film(anatomy.lung(-1)),  # the subject's right is the image's left
        "left": place.to_film(anatomy.lung(1)),
        "heart": place.to_film(anatomy.heart.outline()),
    }
    quality = rng.uniform(0.35, 0.66) if poor else rng.uniform(0.76, 0.93)
    if poor:
        shift = np.array([0.25, 0.2]) * rng.choice([-1, 1], 2) * (place.half_x, place.half_y)
        middle = np.array([place.x, place.y])
        outlines = {organ: middle + 0.6 * (outline - middle) + shift for organ, outline in outlines.items()}
    marks = np.concatenate([_landmarks(outlines[organ], count) for organ, count in POINTS.items()])
    masks = {organ: encode(_filled(outline, height, width)) for organ, outline in outlines.items()}
    return {
        "dicom_id": dicom,
        "Dice RCA (Max)": round(min(0.99, quality + rng.uniform(0.01, 0.06)), 6),
        "Dice RCA (Mean)": round(quality, 6),
        "Landmarks": ",".join(map(str, np.round(marks).astype(int).ravel().tolist())),
        "Left Lung": masks["left"],
        "Right Lung": masks["right"],
        "Heart": masks["heart"],
        "Height": height,
        "Width": width,
    }
