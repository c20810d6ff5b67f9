"""Two thousand films of three adapters, one in a hundred broken: the study ends, and says which and why."""

import csv
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from sightline.datasets import dataset
from sightline.options import with_defaults
from sightline.phantom import mimic_cxr
from tests.workflow.conftest import Project, copy_project

pytestmark = pytest.mark.xdist_group("bad_data")  # one process runs the study

LISTED, FOLDER = 500, 300  # films of the tidy folder and of the folder of classes; the others are MIMIC-CXR's
FILMS = {"training": 1000, "validation": 100, "test": 100, "phase_1": 0, "phase_2": 0, "phase_3": 0}
FILMS |= {"height": 64, "width": 64, "shared_subjects": 0}
ALL = sum(FILMS[split] for split in ("training", "validation", "test")) + LISTED + FOLDER

STUDY = {
    "study": "bad_data",
    "datasets": {
        "cxr": {"adapter": {"name": "mimic_cxr"}, "annotations": {"chexmask": {}}},
        "listed": {"adapter": {"name": "tidy"}},
        "folder": {"adapter": {"name": "image_folder"}},
    },
    "label_sets": {"two": ["No Finding", "Lung Opacity"]},
    "recipes": {"short": {"side": 16, "batch": 64, "epochs": 1}},
    "models": {
        "small": {
            "architecture": {"name": "sononet16", "arguments": {"width": 2}},
            "train_on": "cxr",
            "labels": "two",
            "recipe": "short",
        }
    },
    "conditions": {"clean": {"kind": "clean"}},
    "methods": {"gradcam": {"kind": "gradcam", "layers": ["last"], "readings": ["evidence"]}},
    "readings": {"evidence": {"classes": "predicted", "clip": "relu"}},
    "runs": {
        "main": {
            "models": ["small"],
            "seeds": [0],
            "datasets": ["cxr", "listed", "folder"],
            "images": "test",
            "at_most": 8,
            "methods": ["gradcam"],
        }
    },
    "references": {"lungs": {"kind": "region", "of": "lungs", "source": "mask", "datasets": ["cxr"]}},
    "baselines": [],
    "scores": {"scale": 0.25, "metrics": ["auc", "mass_inside"]},
    "statistics": {"resamples": 100},
}


# ---- ways to be broken (a film is at the path; the folder outside holds another), and what is said of each


def zero(path: Path, outside: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path, outside: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def of_another_size(path: Path, outside: Path) -> None:
    with Image.open(path) as film:
        Image.new("L", (film.width + 3, film.height)).save(path)


def text(path: Path, outside: Path) -> None:
    path.write_text("<html>Sign in to go on</html>\n")


def cmyk(path: Path, outside: Path) -> None:
    with Image.open(path) as film:
        film.convert("RGB").convert("CMYK").save(path, "jpeg")


def bomb(path: Path, outside: Path) -> None:
    """A PNG of 100 million pixels, of which none is there."""
    head = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def link_out(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside / "film.jpg")


def gone(path: Path, outside: Path) -> None:
    path.unlink()


WORDS = {
    zero: ["is not an image", "cannot be read", "is no picture"],
    truncated: ["is damaged"],
    of_another_size: ["but its table says"],
    text: ["is not an image", "cannot be read", "is no picture"],
    cmyk: ["has pixels of kind 'CMYK'"],
    bomb: ["has more than 80000000 pixels", "pixels, but its table says"],
    link_out: ["is a link that leads out of the dataset's folder"],
    gone: ["the file is missing"],
}
BROKEN = {
    "cxr": [zero, truncated, of_another_size, text, cmyk, bomb, link_out, gone],
    "listed": [zero, truncated, text, cmyk, bomb, link_out],  # and two paths with `..`
    "folder": [zero, truncated, cmyk, link_out],
}


# ---- ways to be unusual: read like any other


def sixteen_bit(path: Path) -> None:
    with Image.open(path) as film:
        Image.fromarray(np.asarray(film.convert("L")).astype(np.uint16) * 16).save(path, "png")


def coloured(path: Path) -> None:
    with Image.open(path) as film:
        film.convert("RGB").save(path, "png")


def link_inside(path: Path) -> None:
    path.rename(path.with_suffix(".original"))
    path.symlink_to(path.with_suffix(".original").name)


UNUSUAL = [sixteen_bit, coloured, link_inside]
NAMES = [
    "a film.jpg",
    " left.jpg",
    "Lunge übrig.jpg",
    "e\u0301.jpg",
    "胸部.jpg",
    "ＦＵＬＬ.jpg",
    "two  spaces.JPG",
]


@dataclass
class Damage:
    """What was done to whom: (dataset, path below its folder) -> words, one of which its reason must hold."""

    expected: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    unusual: list[tuple[str, str]] = field(default_factory=list)

    def do(self, dataset: str, root: Path, names: list[str], outside: Path) -> None:
        """Break the first of `names`, make the next ones unusual."""
        at = iter(names)
        for make in BROKEN[dataset]:
            name = next(at)
            make(root / name, outside)
            self.expected[dataset, name] = WORDS[make]
        for make in UNUSUAL:
            name = next(at)
            make(root / name)
            self.unusual.append((dataset, name))


def evenly(names: list[str]) -> list[str]:
    """The names, those at equal distances first: damage is everywhere."""
    first = names[:: max(1, len(names) // 20)]
    return first + [name for name in names if name not in set(first)]


def write_mimic(root: Path) -> list[str]:
    """The phantom of MIMIC-CXR-JPG; its films that the study reads."""
    mimic_cxr.write(root, 0, **FILMS)
    options = with_defaults("sightline.datasets.mimic_cxr", {}, "here")
    return sorted(dataset.read("cxr", root, "mimic_cxr", options, {}).images["path"])


def write_listed(root: Path, films: list[Path], damage: Damage) -> list[str]:
    """A tidy folder of copies of `films`, some with names that are only unusual, two rows with `..`."""
    (root / "films").mkdir(parents=True)
    names = [f"films/{name}" for name in NAMES]
    names += [f"films/{number:04}.jpg" for number in range(len(films) - len(names))]
    splits = ["train", "validate", "test"]
    rows = []
    for number, (name, film) in enumerate(zip(names, films)):
        shutil.copyfile(film, root / name)
        rows.append([f"film {number}", name, f"person {number}", splits[number % 3]])
    damage.unusual += [("listed", name) for name in names[: len(NAMES)]]
    for row, path in ((-1, "../outside/film.jpg"), (-2, "films/../../outside/film.jpg")):
        rows[row][1] = path
        damage.expected["listed", path] = ["leaves the dataset's folder"]
    with open(root / "images.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "path", "subject", "split"], *rows])
    return names[len(NAMES) : -2]


def write_folder(root: Path, films: list[Path]) -> list[str]:
    """A folder of classes of copies of `films`."""
    names = [f"class {number % 2}/{number:03}.jpg" for number in range(len(films))]
    for name, film in zip(names, films):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(film, root / name)
    return names


@dataclass
class Ended:
    """The study and what was done to its films; run with a limit that stops it, then with another."""

    project: Project
    damage: Damage
    stopped: subprocess.CompletedProcess
    trained: list[Path]  # when it had stopped


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Ended:
    project, damage = copy_project(tmp_path_factory.mktemp("bad_data") / "project"), Damage()
    data = project.folder / "data"
    (data / "outside").mkdir(parents=True)
    names = {"cxr": write_mimic(data / "cxr")}
    films = [data / "cxr" / name for name in names["cxr"]]
    shutil.copyfile(films[0], data / "outside/film.jpg")
    names["listed"] = write_listed(data / "listed", films[:LISTED], damage)
    names["folder"] = write_folder(data / "folder", films[LISTED : LISTED + FOLDER])
    for name, found in names.items():
        damage.do(name, data / name, evenly(found), data / "outside")
    assert len(damage.expected) == ALL // 100 == 20
    for limit in (0.005, 0.02):
        chosen = STUDY | {"limits": {"max_skipped": limit}}
        (project.folder / "study.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
        done = project.snakemake(check=limit == 0.02)
        if limit == 0.005:
            stopped, trained = done, list((project.folder / "results/bad_data").glob("models/*"))
    return Ended(project, damage, stopped, trained)


def skipped(project: Project) -> pd.DataFrame:
    found = sorted((project.folder / "results/bad_data").glob("*/*/skipped.parquet"))
    return pd.concat(map(pd.read_parquet, found), ignore_index=True)


def inputs(project: Project, table: str) -> pd.DataFrame:
    found = sorted((project.folder / "results/bad_data").glob(f"*/*/{table}.parquet"))
    return pd.concat(map(pd.read_parquet, found), ignore_index=True)


def test_past_max_skipped_the_study_stops_before_training(ended):
    said = ended.stopped.stdout + ended.stopped.stderr
    assert ended.stopped.returncode != 0 and "max_skipped" in said and "of 1200 images were refused" in said
    assert ended.trained == []


def test_the_study_ends_and_lists_exactly_what_was_broken(ended):
    project, damage = ended.project, ended.damage
    found = skipped(project)
    reasons = {(row.dataset, row.path): row.reason for row in found.itertuples()}
    assert len(reasons) == len(found) and set(reasons) == set(damage.expected)
    unexplained = [
        (key, reasons[key])
        for key, words in damage.expected.items()
        if not any(word in reasons[key] for word in words)
    ]
    assert unexplained == []
    assert set(found["stage"]) == {"read", "prepare"}


def test_what_is_only_unusual_is_read(ended):
    project, damage = ended.project, ended.damage
    images = inputs(project, "images").set_index(["dataset", "path"])["image"]
    stored = inputs(project, "prepared")
    kept = set(zip(stored["dataset"], stored["image"]))
    assert len(damage.unusual) == len(NAMES) + 3 * len(UNUSUAL)
    assert [key for key in damage.unusual if (key[0], images[key]) not in kept] == []
    assert len(kept) == ALL - len(damage.expected)


def test_the_page_counts_them_and_names_none(ended):
    project, damage = ended.project, ended.damage
    page = (project.folder / "results/bad_data/report.html").read_text()
    assert "leads out of the dataset" in page
    names = {Path(path).name for _, path in damage.expected} - {"film.jpg"}
    assert [name for name in names if name in page] == []
