"""Who is in the phantom: subjects, studies and films, their ids, splits, views, sizes and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sightline.phantom.chest.findings import LABELS
from sightline.randomness import generator

# shares of studies, about those that CheXpert's labels have in MIMIC-CXR
PREVALENCE = {
    "Atelectasis": 0.20,
    "Cardiomegaly": 0.18,
    "Consolidation": 0.07,
    "Edema": 0.12,
    "Enlarged Cardiomediastinum": 0.12,
    "Fracture": 0.03,
    "Lung Lesion": 0.04,
    "Lung Opacity": 0.26,
    "Pleural Effusion": 0.22,
    "Pleural Other": 0.02,
    "Pneumonia": 0.08,
    "Pneumothorax": 0.05,
    "Support Devices": 0.25,
}
# CheXpert's tree of labels; a child brings its parent along in this share of studies, at its own place
PARENTS = {
    "Pneumonia": "Consolidation",
    "Consolidation": "Lung Opacity",
    "Edema": "Lung Opacity",
    "Atelectasis": "Lung Opacity",
    "Lung Lesion": "Lung Opacity",
    "Cardiomegaly": "Enlarged Cardiomediastinum",
}
WITH_PARENT = 0.5
# share of studies in which nothing is planted, at least (less where a label's prevalence exceeds 0.7)
HEALTHY = 0.3


@dataclass(frozen=True)
class Film:
    """One image to be made. `group` is training, validation, test, phase_1, phase_2, phase_3 or trap."""

    group: str
    split: str
    subject: int
    study: int
    dicom: str
    view: str  # PA, AP, LATERAL or "" (missing)
    height: int
    width: int
    date: int
    time: float
    planted: tuple[tuple[str, ...], ...]  # one tuple per change: its own label, then parents'
    labelled: bool  # has a row in the label tables

    @property
    def labels(self) -> frozenset[str]:
        """The labels that are true of the film's study."""
        return frozenset(label for labels in self.planted for label in labels)

    @property
    def path(self) -> str:
        """Upstream's path, without suffix."""
        return f"files/p{str(self.subject)[:2]}/p{self.subject}/s{self.study}/{self.dicom}"

    @property
    def read(self) -> bool:
        """Whether readers looked at it."""
        return self.group.startswith("phase")


def rates(findings: list[str] | None, prevalence: float | dict[str, float]) -> dict[str, float]:
    """Each label's share of studies, 0 if not in `findings`; `prevalence` scales or replaces the usual."""
    wanted = set(LABELS if findings is None else findings)
    if isinstance(prevalence, dict):
        return {
            label: float(prevalence.get(label, PREVALENCE[label])) * (label in wanted) for label in LABELS
        }
    return {label: min(0.95, PREVALENCE[label] * prevalence) * (label in wanted) for label in LABELS}


def _children_first() -> list[str]:
    depth = {label: 0 for label in LABELS}
    for label in LABELS:
        above = label
        while above in PARENTS:
            above = PARENTS[above]
            depth[label] += 1
    return sorted(LABELS, key=lambda label: (-depth[label], label))


def draw_planted(rng: np.random.Generator, share: dict[str, float]) -> tuple[tuple[str, ...], ...]:
    """What one study shows; a label's probability is its `share`, or what its children bring if that is more.

    Labels are independent given that the study is not healthy, but for parents that come with their children.
    """
    sick = 1 - min(HEALTHY, 1 - max(share.values(), default=0))
    # drawn for all, so that one label's share moves no other's
    coin = {label: rng.random(2) for label in LABELS}
    if rng.random() >= sick:
        return ()
    chains: dict[str, tuple[str, ...]] = {}  # by the label that is drawn, with what it brings
    present: dict[str, list[str]] = {label: [] for label in LABELS}  # the chains that a label is in
    # given a study that is not healthy: probability that a child brings the label, and that it is there
    brought, total = dict.fromkeys(LABELS, 0.0), dict.fromkeys(LABELS, 0.0)
    for label in _children_first():
        wanted = share[label] / sick
        own = max(0.0, (wanted - brought[label]) / (1 - brought[label])) if brought[label] < 1 else 0.0
        total[label] = brought[label] + (1 - brought[label]) * own
        if coin[label][0] < own:
            chains[label] = (label,)
            present[label].append(label)
        parent = PARENTS.get(label)
        if parent and share[parent] > 0:
            brought[parent] = 1 - (1 - brought[parent]) * (1 - WITH_PARENT * total[label])
            if present[label] and coin[label][1] < WITH_PARENT:
                for start in present[label]:
                    chains[start] += (parent,)
                    present[parent].append(start)
    return tuple(chains[label] for label in LABELS if label in chains)


def _unique(rng: np.random.Generator, count: int, first_digit: int) -> list[int]:
    numbers = rng.choice(10_000_000, size=count, replace=False)
    return [first_digit * 10_000_000 + int(number) for number in numbers]


def _dicom(rng: np.random.Generator) -> str:
    return "-".join(rng.bytes(4).hex() for _ in range(5))


class _Register:
    """Hands out ids, and films with what is random about them."""

    def __init__(self, seed: int, settings: dict, most: int):
        self.rng = generator(seed, "phantom", "cohort")
        self.subjects, self.studies = iter(_unique(self.rng, most, 1)), iter(_unique(self.rng, most, 5))
        self.settings = settings
        self.share = rates(settings["findings"], settings["prevalence"])

    def size(self) -> tuple[int, int]:
        """Height and width of the next film, pixels."""
        vary = 1 + self.settings["size_variation"] * self.rng.uniform(-1, 1, 2)
        return round(self.settings["height"] * vary[0]), round(self.settings["width"] * vary[1])

    def film(self, group: str, split: str, subject: int, labelled: bool = True) -> Film:
        """The first film of a new study of `subject`."""
        height, width = self.size()
        year, month, day = self.rng.integers((2110, 1, 1), (2200, 13, 29))
        hour, minute, second = self.rng.integers((0, 0, 0), (24, 60, 60))
        return Film(
            group=group,
            split=split,
            subject=subject,
            study=next(self.studies),
            dicom=_dicom(self.rng),
            view="AP" if self.rng.random() < 0.6 else "PA",
            height=height,
            width=width,
            date=int(year * 10000 + month * 100 + day),
            time=float(hour * 10000 + minute * 100 + second) + self.rng.integers(1000) / 1000,
            planted=draw_planted(self.rng, self.share),
            labelled=labelled,
        )

    def beside(self, film: Film, view: str) -> Film:
        """Another film of the same study."""
        height, width = self.size()
        return replace(film, group="trap", dicom=_dicom(self.rng), view=view, height=height, width=width)


def _of_split(register: _Register, group: str, split: str, count: int) -> Iterator[Film]:
    """`count` usable studies of one split; a subject has one to three of them."""
    while count > 0:
        subject = next(register.subjects)
        for _ in range(min(count, int(register.rng.choice([1, 1, 1, 2, 2, 3])))):
            yield register.film(group, split, subject)
            count -= 1


def _traps(register: _Register, films: list[Film], share: float) -> Iterator[Film]:
    """Films that a reader of the tables must leave out: laterals, second frontals, no view, no labels."""
    count = max(1, round(share * len(films))) if share and films else 0
    chosen = [films[index] for index in register.rng.permutation(len(films))[:count]]
    for film in chosen:
        yield register.beside(film, "LATERAL" if register.rng.random() < 0.7 else "LL")
        two = replace(register.film("trap", film.split, film.subject), view="PA")
        yield from (two, register.beside(two, "AP"))
        yield replace(register.film("trap", film.split, film.subject), view="")
        yield register.film("trap", film.split, film.subject, labelled=False)


def _read_films(register: _Register, settings: dict, training: list[Film]) -> Iterator[Film]:
    """Films of the three phases; the first `shared_subjects`, dealt over them, are of training's subjects."""
    counts = {phase: settings[f"phase_{phase}"] for phase in (3, 1, 2)}
    turns = sorted(
        (turn, order, phase) for order, (phase, n) in enumerate(counts.items()) for turn in range(n)
    )
    shared = list(dict.fromkeys(film.subject for film in training))[: settings["shared_subjects"]]
    for position, (_, _, phase) in enumerate(turns):
        if position < len(shared):
            subject, split = shared[position], "train"
        else:
            subject, split = next(register.subjects), str(register.rng.choice(["test", "test", "train"]))
        yield register.film(f"phase_{phase}", split, subject)


def draw_films(seed: int, settings: dict) -> list[Film]:
    """All films of a phantom, in upstream's order (subject, study, image), by the writer's `settings`."""
    counts = {"training": "train", "validation": "validate", "test": "test"}
    phases = sum(settings[f"phase_{phase}"] for phase in (1, 2, 3))
    most = 4 * (sum(settings[group] for group in counts) + phases) + 16
    register = _Register(seed, settings, most)
    films: list[Film] = []
    for group, split in counts.items():
        usable = list(_of_split(register, group, split, settings[group]))
        films += usable + list(_traps(register, usable, settings["traps"]))
    training = [film for film in films if film.group == "training"]
    films += _read_films(register, settings, training)
    return sorted(films, key=lambda film: (film.subject, film.study, film.dicom))
