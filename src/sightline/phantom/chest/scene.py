"""What one film shows: the subject's chest where it lies, the findings planted in it, perhaps a marker."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sightline.phantom.chest import film as drawing
from sightline.phantom.chest.anatomy import Anatomy, Place, draw_subject, pose
from sightline.phantom.chest.cohort import Film
from sightline.phantom.chest.findings import HEART_GROWTH, Finding, inside, place_findings
from sightline.phantom.shortcut import Shortcut, mark
from sightline.randomness import generator

JPEG_QUALITY = 95  # as upstream's files


@dataclass(frozen=True)
class Scene:
    """A film with its truth; `anatomy`, `place` and `found` are of frontal films: laterals have none."""

    film: Film
    anatomy: Anatomy
    usual: Anatomy  # the subject's without what changes it (an enlarged heart)
    place: Place
    found: tuple[Finding, ...]
    marker: tuple[int, int, int, int] | None

    @property
    def lateral(self) -> bool:
        """Whether the chest is seen from the side."""
        return self.film.view in ("LATERAL", "LL")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the film."""
        return self.film.height, self.film.width


def arrange(film: Film, seed: int, settings: dict, shortcut: Shortcut | None) -> Scene:
    """Lay out what `film` shows: everything but its pixels. `settings` is the writer's options."""
    anatomy = draw_subject(generator(seed, "phantom", "anatomy", film.subject))
    place = pose(anatomy, generator(seed, "phantom", "pose", film.dicom), film.height, film.width)
    marked = False
    if shortcut:
        draw = generator(seed, "phantom", "marker", film.dicom).random()
        marked = shortcut.present(shortcut.label in film.labels, film.read or film.split == "test", draw)
    marker = shortcut.box(film.height, film.width) if shortcut and marked else None
    scene = Scene(film, anatomy, anatomy, place, (), marker)
    if scene.lateral:
        return scene
    if any(labels[0] == "Cardiomegaly" for labels in film.planted):
        by = 1 + HEART_GROWTH * float(np.clip(settings["contrast"], 0, 1.4))
        anatomy = replace(anatomy, heart=anatomy.heart.enlarged(by))
    found = [
        inside(finding, film.height, film.width)
        for labels in film.planted
        for finding in place_findings(
            labels,
            generator(seed, "phantom", "place", film.dicom, labels[0]),
            anatomy,
            place,
            settings["finding_size"],
        )
    ]
    return replace(scene, anatomy=anatomy, found=tuple(found))


def jpeg(scene: Scene, seed: int, contrast: float) -> bytes:
    """The film as upstream stores it: 8-bit grey JPEG of quality 95."""
    rng = generator(seed, "phantom", "pixels", scene.film.dicom)
    canvas = drawing.Canvas(*scene.size, scene.place)
    if scene.lateral:
        pixels = drawing.lateral(canvas, rng)
    else:
        pixels = drawing.frontal(canvas, scene.anatomy, scene.usual, list(scene.found), rng, contrast)
    if scene.marker:
        mark(pixels, scene.marker)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def truth(scene: Scene, marks: str) -> list[dict[str, object]]:
    """Rows of `phantom_truth.csv`: one per label and ellipse, one for the marker (of the label `marks`)."""
    rows = [
        {"kind": "finding", "label": label, "shape": "ellipse", "box": finding.box}
        for finding in scene.found
        for label in finding.labels
    ]
    if scene.marker:
        rows.append({"kind": "marker", "label": marks, "shape": "rectangle", "box": scene.marker})
    return rows
