"""Which images are explained together: fixed by the images alone, never by the job that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline.errors import ConfigError
from sightline.frames import Frame


@dataclass(frozen=True)
class Batch:
    """Images of one input shape; `frames` place each one's input pixels in its image's coordinates."""

    images: tuple[str, ...]
    frames: tuple[Frame, ...]


def plan(inputs: Mapping[str, Frame], size: int) -> list[Batch]:
    """Batches of at most `size` images of one input shape, sorted by shape and id whatever the given order.

    `inputs` holds, for each image, the frame of the pixels that the network sees.
    """
    if size < 1:
        raise ConfigError(f"a batch of {size} images; expected at least 1")
    groups: dict[tuple[int, ...], list[str]] = {}
    for image in sorted(inputs):
        groups.setdefault(inputs[image].shape, []).append(image)
    parts = [
        groups[shape][i : i + size] for shape in sorted(groups) for i in range(0, len(groups[shape]), size)
    ]
    return [Batch(tuple(part), tuple(inputs[image] for image in part)) for part in parts]
