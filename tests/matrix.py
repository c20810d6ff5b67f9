"""Every method on every network of the zoo: what came of it, for a test and for docs/methods.md.

    PYTHONPATH=src python -m tests.matrix

writes tests/unit/methods_matrix.csv, to which the test holds every cell, and docs/methods.md.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sightline import options
from sightline.attribution.batches import Batch
from sightline.attribution.maps import Choice, Explanation, Method, run
from sightline.frames import Frame
from tests.zoo import LABELS, QUICK, ZOO

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests/unit/methods_matrix.csv"
PAGE = ROOT / "docs/methods.md"
PACKAGE = "sightline.attribution.methods"
COLUMNS = ("method", "network", "status", "reason", "sources", "grid")
FAMILIES = {
    "gradient": "Gradients",
    "cam": "Class activation maps",
    "relevance": "Relevance",
    "layer": "Layers",
    "perturbation": "Perturbation",
    "attention": "Attention",
    "generative": "Reconstruction",
}
NETWORKS = {
    "resnet": "ResNet",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "vit": "ViT",
    "resnet3d": "ResNet 3-D",
    "unet3d": "U-Net 3-D",
}


@cache
def opened(network: str):
    """The network of the zoo, once for all methods."""
    return ZOO[network]()


@dataclass(frozen=True)
class Cell:
    """What came of one method on one network; passes per image as made and as stated."""

    method: str
    network: str
    explanation: Explanation
    made: tuple[float, float]
    stated: tuple[float, float]

    @property
    def row(self) -> dict[str, str]:
        """The cell as a row of the committed table."""
        found = self.explanation.maps
        return {
            "method": self.method,
            "network": self.network,
            "status": self.explanation.status,
            "reason": self.explanation.reason or "",
            "sources": " ".join(one.source for one in found),
            "grid": " ".join("x".join(map(str, one.frame.shape)) for one in found),
        }

    @property
    def gap(self) -> float:
        """The largest gap of its maps; NaN where none is stated."""
        gaps = [one.gap for one in self.explanation.maps if one.gap is not None]
        return float(np.max(gaps)) if gaps else float("nan")


def methods() -> list[str]:
    """Every method, sorted."""
    return options.available(PACKAGE)


def explain(method: str, network: str, images=None) -> Explanation:
    """All classes of the zoo's two images (or of `images`), by `method` with its quick options."""
    model, given = opened(network)
    images = images or given
    frame = Frame.of_image(images.shape[1:])
    batch = Batch(images.names, (frame,) * len(images.names))
    choice = Choice("all_classes", LABELS)
    (found,) = run(Method(method, QUICK.get(method, {})), model, [batch], lambda _: images.pixels, choice)
    return found


def cell(method: str, network: str) -> Cell:
    """One cell; passes are counted when places and last layers are known already."""
    model, images = opened(network)
    explanation = explain(method, network)
    if explanation.status != "ok":
        return Cell(method, network, explanation, (0, 0), (0, 0))
    module, chosen = Method(method).module, QUICK.get(method, {})
    before = (model.passes.forwards, model.passes.backwards)
    module.explain(model, images, explanation.targets, **chosen)
    made = (model.passes.forwards - before[0], model.passes.backwards - before[1])
    stated = module.cost(model, images.shape, explanation.targets.count, **chosen)
    count = len(images.names)
    return Cell(
        method, network, explanation, tuple(n / count for n in made), (stated.forwards, stated.backwards)
    )


def committed() -> dict[tuple[str, str], dict[str, str]]:
    """The rows of the committed table by method and network."""
    with TABLE.open(newline="") as file:
        return {(row["method"], row["network"]): row for row in csv.DictReader(file)}


# ---- the page


def page(cells: dict[tuple[str, str], Cell]) -> str:
    """docs/methods.md: the matrix, what each method needs, its cost, its identity, its source."""
    lines = [
        "# Methods",
        "",
        "Made from runs by `make methods`: every method explains four classes of two images by six small",
        "networks with random weights (`tests/zoo.py`; 32 pixels, 16 cubed). ✓ maps; – not applicable,",
        "with the reason at the end. A number beside ✓ is the largest gap of the method's identity",
        "(relative; 0: it holds). The options are [the configuration's](../config/README.md), cheaper",
        "ones where a default is slow. Forwards and backwards are passes per image through the whole",
        "network, stated by the method before it runs and counted by a test when it runs: here for four",
        "classes.",
        "",
    ]
    literals = {name: options.read(f"{PACKAGE}.{name}") for name in methods()}
    for family, title in FAMILIES.items():
        names = [name for name in methods() if literals[name]["FAMILY"] == family]
        if not names:
            continue
        head = ["method", *NETWORKS.values(), "grid", "needs", "identity", "forwards", "backwards", "source"]
        lines += [f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        lines += [_line(name, literals[name], cells) for name in names] + [""]
    lines += ["## Why not", "", "| method | network | reason |", "|---|---|---|"]
    grouped: dict[tuple[str, str], list[str]] = {}
    for (name, network), one in cells.items():
        if one.explanation.status != "ok":
            grouped.setdefault((name, one.explanation.reason), []).append(NETWORKS[network])
    for (name, reason), networks in grouped.items():
        lines.append(f"| `{name}` | {', '.join(networks)} | {reason} |")
    return "\n".join(lines) + "\n"


def _line(name: str, stated: dict, cells: dict[tuple[str, str], Cell]) -> str:
    marks, passes = [], set()
    for network in NETWORKS:
        one = cells[name, network]
        ok = one.explanation.status == "ok"
        marks.append((f"✓ {one.gap:.1g}" if one.gap == one.gap else "✓") if ok else "–")
        if ok:
            passes.add(tuple(map(_shown, one.stated)))
    columns = [", ".join(sorted({one[side] for one in passes}, key=float)) for side in (0, 1)]
    needs = ", ".join(stated["NEEDS"])
    identity = (stated["IDENTITY"] or "").replace("_", " ")
    return (
        f"| `{name}` | {' | '.join([*marks, stated['GRID'], needs, identity, *columns, stated['SOURCE']])} |"
    )


def _shown(number: float) -> str:
    return f"{number:g}"


if __name__ == "__main__":
    made = {}
    for one in methods():
        made |= {(one, network): cell(one, network) for network in NETWORKS}
        print(one, *(c.explanation.status for (name, _), c in made.items() if name == one), file=sys.stderr)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(one.row for one in made.values())
    PAGE.write_text(page(made))
