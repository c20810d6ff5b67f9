"""REFLACX's tree of the phantom's films: three phases' readings with gaze, boxes, ellipses, words (CRLF)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.phantom.chest.findings import Finding
from sightline.phantom.chest.gaze import COLUMNS, Reader, look
from sightline.phantom.chest.scene import Scene
from sightline.randomness import generator

PATH = "reflacx-xray-localization/1.0.0/main_data"
PHASE_1 = (
    "Airway wall thickening",
    "Atelectasis",
    "Consolidation",
    "Emphysema",
    "Enlarged cardiac silhouette",
    "Fibrosis",
    "Fracture",
    "Groundglass opacity",
    "Mass",
    "Nodule",
    "Other",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary edema",
    "Quality issue",
    "Support devices",
    "Wide mediastinum",
)
PHASE_2 = (
    "Abnormal mediastinal contour",
    "Acute fracture",
    "Atelectasis",
    "Consolidation",
    "Enlarged cardiac silhouette",
    "Enlarged hilum",
    "Groundglass opacity",
    "Hiatal hernia",
    "High lung volume / emphysema",
    "Interstitial lung disease",
    "Lung nodule or mass",
    "Other",
    "Pleural abnormality",
    "Pneumothorax",
    "Pulmonary edema",
    "Support devices",
)
LABELS = {1: PHASE_1, 2: PHASE_2, 3: PHASE_2}
# what the readers call CheXpert's labels, in phase 1 and in phases 2 and 3
NAMES = {
    "Atelectasis": ("Atelectasis", "Atelectasis"),
    "Cardiomegaly": ("Enlarged cardiac silhouette", "Enlarged cardiac silhouette"),
    "Consolidation": ("Consolidation", "Consolidation"),
    "Edema": ("Pulmonary edema", "Pulmonary edema"),
    "Enlarged Cardiomediastinum": ("Wide mediastinum", "Abnormal mediastinal contour"),
    "Fracture": ("Fracture", "Acute fracture"),
    "Lung Lesion": ("Nodule", "Lung nodule or mass"),
    "Lung Opacity": ("Groundglass opacity", "Groundglass opacity"),
    "Pleural Effusion": ("Pleural effusion", "Pleural abnormality"),
    "Pleural Other": ("Pleural thickening", "Pleural abnormality"),
    "Pneumonia": ("Consolidation", "Consolidation"),
    "Pneumothorax": ("Pneumothorax", "Pneumothorax"),
    "Support Devices": ("Support devices", "Support devices"),
}
MASS = 0.13  # a lesion with a half axis above this share of half the chest's width is a mass, not a nodule
TEXTUAL = ("Other", "Quality issue", "Support devices")
MISSED, IMAGINED, REMARKED, POOR_QUALITY = 0.05, 0.006, 0.03, 0.02  # chances, per label or reading
REMARKS = ("calcified granuloma", "scoliosis", "tortuous aorta", "degenerative spine changes|osteopenia")
BEFORE_LABELS = (
    "id",
    "split",
    "eye_tracking_data_discarded",
    "image",
    "dicom_id",
    "subject_id",
    "image_size_x",
    "image_size_y",
)
BOX = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Session:
    """One reader before one film. `reading` is upstream's id."""

    reading: str
    phase: int
    scene: Scene
    reader: int
    discarded: bool


def name_of(finding: Finding, scene: Scene, phase: int) -> str:
    """The phase's name of a finding's own label."""
    label = finding.labels[0]
    if label == "Lung Lesion" and phase == 1 and finding.half_x > MASS * scene.place.half_x:
        return "Mass"
    return NAMES[label][phase > 1]


def sessions(scenes: list[Scene], seed: int, settings: dict) -> list[Session]:
    """All readings: every reader in phases 1 and 2, one in phase 3; a share of the former is discarded."""
    rng = generator(seed, "phantom", "sessions")
    taken: set[str] = set()
    planned: list[tuple[str, int, Scene, int]] = []
    for phase, first in ((1, 2), (2, 1), (3, 0)):
        shown = [scene for scene in scenes if scene.film.group == f"phase_{phase}"]
        for trial, index in enumerate(rng.permutation(len(shown)), start=first):
            everyone = range(settings["readers"])
            for reader in everyone if phase < 3 else [int(rng.integers(settings["readers"]))]:
                reading = _reading_id(rng, phase, trial, taken)
                planned.append((reading, phase, shown[index], reader))
    may_fail = [item[0] for item in planned if item[1] < 3]
    count = max(1, round(settings["discarded"] * len(may_fail))) if settings["discarded"] and may_fail else 0
    failed = {may_fail[index] for index in rng.permutation(len(may_fail))[:count]}
    return [Session(*item, discarded=item[0] in failed) for item in planned]


def _reading_id(rng: np.random.Generator, phase: int, trial: int, taken: set[str]) -> str:
    while True:
        reading = f"P{phase}{trial if phase < 3 else 0:02}R{rng.integers(1_000_000):06}"
        if reading not in taken:
            taken.add(reading)
            return reading


def _table(path: Path, header: tuple[str, ...], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(header)
        writer.writerows(rows)


def judge(session: Session, rng: np.random.Generator) -> dict[str, object]:
    """The reader's answer for every label of the phase: certainty 0 to 5, a flag, or text for "Other"."""
    scene, phase = session.scene, session.phase
    seen = {name_of(finding, scene, phase) for finding in scene.found}
    answer: dict[str, object] = {}
    for label in LABELS[phase]:
        chance = rng.random()
        sure, unsure = int(rng.choice([3, 4, 5], p=[0.2, 0.3, 0.5])), int(rng.integers(1, 3))
        if label == "Other":
            answer[label] = REMARKS[int(rng.integers(len(REMARKS)))] if chance < REMARKED else ""
        elif label == "Quality issue":
            answer[label] = chance < POOR_QUALITY
        elif label == "Support devices":
            answer[label] = label in seen and chance >= MISSED
        elif label in seen:
            answer[label] = sure if chance >= MISSED else 0
        else:
            answer[label] = unsure if chance < IMAGINED else 0
    return answer


def _ellipses(session: Session, answer: dict[str, object], rng: np.random.Generator) -> list[list[object]]:
    """One ellipse for each finding that the reader named (but support devices), by a shaky hand."""
    rows = []
    for finding in session.scene.found:
        shaken = rng.normal(0, 0.06, 4) * np.array([finding.half_x, finding.half_y] * 2)
        name = name_of(finding, session.scene, session.phase)
        if name not in TEXTUAL and answer[name]:
            box = np.round(np.array(finding.box) + shaken).astype(int).tolist()
            rows.append([*box, answer[name], *(label == name for label in LABELS[session.phase])])
    return rows


def _words(answer: dict[str, object]) -> list[str]:
    positive = [label.lower() for label, value in answer.items() if value and label not in TEXTUAL]
    sentences = [f"there is {name}" for name in positive] or ["the lungs are clear", "no acute abnormality"]
    if "enlarged cardiac silhouette" not in positive:
        sentences.insert(0, "the heart size is normal")
    if answer["Support devices"]:
        sentences.append("support devices are in place")
    return [word for sentence in sentences for word in [*sentence.split(), "."]]


def _write_transcript(
    folder: Path, answer: dict[str, object], seconds: float, rng: np.random.Generator
) -> None:
    words = _words(answer)
    starts = np.sort(rng.uniform(0.1 * seconds, 0.95 * seconds, len(words)))
    ends = np.minimum(starts + rng.uniform(0.12, 0.45, len(words)), np.append(starts[1:], seconds))
    rows = [[word, f"{start:.2f}", f"{end:.2f}"] for word, start, end in zip(words, starts, ends)]
    _table(
        folder / "timestamps_transcription.csv", ("word", "timestamp_start_word", "timestamp_end_word"), rows
    )
    # no line break at the end
    (folder / "transcription.txt").write_bytes(" ".join(words).replace(" .", ".").encode())


def _fixation_rows(fixations: np.ndarray) -> list[list[object]]:
    decimals = {0: 3, 1: 3, 4: 3, 7: 5, 8: 5}  # all other columns are whole numbers
    columns = [
        np.round(column, decimals[index]).tolist() if index in decimals else column.astype(int).tolist()
        for index, column in enumerate(fixations.T)
    ]
    return [list(row) for row in zip(*columns)]


def write_session(
    folder: Path, session: Session, readers: list[Reader], seed: int, settings: dict
) -> list[object]:
    """Write one reading's files into `folder` and return its row of the phase's metadata."""
    scene, film = session.scene, session.scene.film
    rng = generator(seed, "phantom", "reading", session.reading)
    draws = rng.spawn(4)
    answer = judge(session, draws[0])
    folder.mkdir(parents=True)
    place = scene.place
    shaken = draws[1].normal(0, 0.02, 4) * np.array([place.half_x, place.half_y] * 2)
    _table(
        folder / "chest_bounding_box.csv", BOX, [np.round(np.array(place.box) + shaken).astype(int).tolist()]
    )
    header = (*BOX, "certainty", *LABELS[session.phase])
    _table(folder / "anomaly_location_ellipses.csv", header, _ellipses(session, answer, draws[1]))
    if not session.discarded:
        fixations = look(draws[2], readers[session.reader], place, list(scene.found), scene.size, settings)
        _table(folder / "fixations.csv", COLUMNS, _fixation_rows(fixations))
        _write_transcript(folder, answer, float(fixations[-1, 1]), draws[3])
    image = f"physionet.org/files/mimic-cxr/2.0.0/{film.path}.dcm"
    before = [
        session.reading,
        film.split,
        session.discarded,
        image,
        film.dicom,
        film.subject,
        film.width,
        film.height,
    ]
    return before + list(answer.values())


def write_tree(folder: Path, scenes: list[Scene], readers: list[Reader], seed: int, settings: dict) -> None:
    """Write `main_data`: a folder per reading and three metadata tables (sorted by id; phase 3 by image)."""
    rows: dict[int, list[list[object]]] = {1: [], 2: [], 3: []}
    for session in sessions(scenes, seed, settings):
        row = write_session(folder / session.reading, session, readers, seed, settings)
        rows[session.phase].append(row)
    for phase, of_phase in rows.items():
        by = 0 if phase < 3 else 3
        _table(
            folder / f"metadata_phase_{phase}.csv",
            (*BEFORE_LABELS, *LABELS[phase]),
            sorted(of_phase, key=lambda row: row[by]),
        )
