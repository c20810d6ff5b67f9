"""CheXmask's run-length masks: "start length start length ...", counted from 1 over the row-major mask."""

from __future__ import annotations

import numpy as np


def runs(text: str, shape: tuple[int, int]) -> np.ndarray:
    """The runs of a mask of `shape` (H, W) as (n, 2): start counted from 0, and stop, exclusive.

    Raises `ValueError`, saying what is wrong, for an odd count, no number, or a run outside the mask.
    """
    tokens = text.split()
    if len(tokens) % 2:
        raise ValueError(f"has {len(tokens)} numbers, expected pairs of start and length")
    try:
        pairs = np.array(tokens, dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not whole numbers ({error})") from error
    start, stop = pairs[:, 0] - 1, pairs[:, 0] - 1 + pairs[:, 1]
    size = shape[0] * shape[1]
    if len(pairs) and (start.min() < 0 or pairs[:, 1].min() < 1 or pairs.max() > size or stop.max() > size):
        raise ValueError(f"has a run outside the {shape[0]} x {shape[1]} mask (pixels 1 to {size})")
    return np.stack([start, stop], axis=1)


def decode(text: str, shape: tuple[int, int]) -> np.ndarray:
    """The mask (H, W), bool. Raises `ValueError` as `runs`."""
    mask = np.zeros(shape[0] * shape[1], dtype=bool)
    for start, stop in runs(text, shape):
        mask[start:stop] = True
    return mask.reshape(shape)


def encode(mask: np.ndarray) -> str:
    """A mask (H, W) as text; the inverse of `decode`."""
    edges = np.flatnonzero(
        np.diff(np.concatenate([[0], (np.asarray(mask) != 0).ravel().astype(np.int8), [0]]))
    )
    return _text(edges.reshape(-1, 2))


def union(texts: list[str], shape: tuple[int, int]) -> str:
    """The union of masks of one shape, without decoding them. Raises `ValueError` as `runs`."""
    every = np.concatenate([runs(text, shape) for text in texts])
    every = every[np.argsort(every[:, 0], kind="stable")]
    if not len(every):
        return ""
    reach = np.maximum.accumulate(every[:, 1])
    first = np.concatenate([[True], every[1:, 0] > reach[:-1]])  # runs that touch are one
    last = np.concatenate([first[1:], [True]])
    return _text(np.stack([every[first, 0], reach[last]], axis=1))


def bounds(text: str, shape: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The box (xmin, ymin, xmax, ymax) around the mask, maxima exclusive; None for an empty mask."""
    pieces = runs(text, shape)
    if not len(pieces):
        return None
    width = shape[1]
    top, bottom = pieces[:, 0] // width, (pieces[:, 1] - 1) // width
    wraps = (bottom > top).any()  # such a run holds a row's end and the next one's start
    left = 0 if wraps else int((pieces[:, 0] % width).min())
    right = width if wraps else int(((pieces[:, 1] - 1) % width).max()) + 1
    return left, int(top.min()), right, int(bottom.max()) + 1


def _text(pieces: np.ndarray) -> str:
    numbers = np.stack([pieces[:, 0] + 1, pieces[:, 1] - pieces[:, 0]], axis=1)
    return " ".join(map(str, numbers.ravel().tolist()))  # Python's own numbers print fast
