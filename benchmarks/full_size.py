"""The chest study's upstream tables at the releases' full size: drawn, not downloaded, and no picture.

    PYTHONPATH=src python -m benchmarks.full_size FOLDER [--share 0.125]

Sizes are the releases': MIMIC-CXR-JPG 2.1.0 (377,110 images of 227,835 studies and 65,379 subjects, 227,827
studies with a row of labels; splits and views exactly, labels about as Johnson et al. 2019, arXiv 1901.07042,
count them), REFLACX 1.0.0 (2,616 films, 3,032 readings with gaze; here each film is another subject's) and
CheXmask 1.0.0 (a row for each frontal film). How many films a study and how many studies a subject has is
Poisson's here and longer-tailed there.
`sightline.phantom` draws a film and what is on it one by one, which pictures need; this draws columns.
"""

from __future__ import annotations

import argparse
import gzip
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from sightline.phantom.chest import chexmask, gaze, mimic, reflacx
from sightline.phantom.mimic_cxr import FILES
from sightline.randomness import generator

# split -> subjects, studies, images
SPLITS = {
    "train": (64_586, 222_758, 368_960),
    "validate": (500, 1_808, 2_991),
    "test": (293, 3_269, 5_159),
}
VIEWS = {"AP": 147_173, "PA": 96_161, "LATERAL": 82_853, "LL": 35_133, "": 15_769}
RARE_VIEW = "LAO"  # stands for all the others: 21 images
FRONTAL = ("AP", "PA")
FRONTAL_FIRST = 0.97  # share of studies whose first image is frontal
# of all studies: share with 1.0, with 0.0, with -1.0; the others' cells are empty
LABELS = {
    "Atelectasis": (0.201, 0.007, 0.045),
    "Cardiomegaly": (0.197, 0.070, 0.026),
    "Consolidation": (0.047, 0.035, 0.019),
    "Edema": (0.119, 0.113, 0.058),
    "Enlarged Cardiomediastinum": (0.032, 0.023, 0.041),
    "Fracture": (0.019, 0.004, 0.002),
    "Lung Lesion": (0.028, 0.004, 0.005),
    "Lung Opacity": (0.226, 0.013, 0.017),
    "No Finding": (0.331, 0.0, 0.0),
    "Pleural Effusion": (0.238, 0.119, 0.026),
    "Pleural Other": (0.009, 0.001, 0.003),
    "Pneumonia": (0.073, 0.107, 0.080),
    "Pneumothorax": (0.045, 0.186, 0.005),
    "Support Devices": (0.292, 0.015, 0.001),
}
NOT_IN_CHEXPERT, WITHOUT_LABEL = 8, 2_414  # studies
SIDES = (
    (3056, 2544),
    (2544, 3056),
    (2828, 2320),
    (2320, 2828),
    (2022, 2022),
)  # (height, width), the usual ones
SIDES_SHARE = (0.55, 0.2, 0.12, 0.08, 0.05)
FILMS_READ = {1: 59, 2: 50, 3: 2507}  # phase -> films; the first two by every reader
READERS, DISCARDED = 5, 20  # 59 * 5 + 50 * 5 + 2507 - 20 = 3032 readings with gaze
FIXATIONS = 100  # of a reading, mean
MARKED = 0.12  # share of a reading's labels that it marks
MASK_LINES = 24  # of the masks that nobody evaluates; those of read films are as long as upstream's


def write(root: Path, seed: int = 0, share: float = 1.0, mask_lines: int = MASK_LINES) -> pd.DataFrame:
    """Write `root`/physionet.org/files/... as downloading leaves it, but for films; returns a row per image.

    `share` of the full size scales every number. Equal arguments give equal bytes.
    """
    files = Path(root) / FILES
    films = _films(generator(seed, "full size", "films"), share)
    _mimic(files / mimic.PATH, films, generator(seed, "full size", "labels"), share)
    read = _read_films(films, generator(seed, "full size", "read"), share)
    _reflacx(files / reflacx.PATH, read, generator(seed, "full size", "readings"), share)
    evaluated = set(read["dicom_id"])
    _chexmask(files / chexmask.PATH, films, evaluated, generator(seed, "full size", "masks"), mask_lines)
    return films


def scaled(number: int, share: float) -> int:
    """`share` of a number of the release, at least 1."""
    return max(1, round(number * share))


# ---- films


def _films(random: np.random.Generator, share: float) -> pd.DataFrame:
    """A row per image, by subject, study and image: ids, split, view, height, width, labels' study."""
    parts, taken = [], 0
    subjects_of = random.permutation(10_000_000)
    studies_of = random.permutation(10_000_000)
    for split, numbers in SPLITS.items():
        subjects, studies, images = (scaled(number, share) for number in numbers)
        studies, images = max(studies, subjects), max(images, studies, subjects)
        of_study = np.repeat(np.arange(studies), _dealt(random, studies, images))
        of_subject = np.repeat(np.arange(subjects), _dealt(random, subjects, studies))
        parts.append(
            pd.DataFrame(
                {
                    "subject_id": 10_000_000 + subjects_of[taken + of_subject[of_study]],
                    "study_id": 50_000_000 + studies_of[taken + of_study],
                    "split": split,
                }
            )
        )
        taken += studies
    films = pd.concat(parts, ignore_index=True)
    films["dicom_id"] = _dicom_ids(random, len(films))
    films["ViewPosition"] = _views(random, ~films["study_id"].duplicated().to_numpy())
    sides = np.array(SIDES)[random.choice(len(SIDES), len(films), p=SIDES_SHARE)]
    films["Rows"], films["Columns"] = sides[:, 0], sides[:, 1]
    return films.sort_values(["subject_id", "study_id", "dicom_id"], ignore_index=True)


def _dealt(random: np.random.Generator, groups: int, total: int) -> np.ndarray:
    """How many of `total` each of `groups` has: at least one, the others by chance."""
    return 1 + np.bincount(random.integers(groups, size=total - groups), minlength=groups)


def _dicom_ids(random: np.random.Generator, count: int) -> list[str]:
    digits = random.bytes(20 * count).hex()
    pieces = (digits[start : start + 40] for start in range(0, 40 * count, 40))
    return [f"{one[:8]}-{one[8:16]}-{one[16:24]}-{one[24:32]}-{one[32:]}" for one in pieces]


def _views(random: np.random.Generator, first: np.ndarray) -> np.ndarray:
    """A view for each image, in the release's numbers; most studies' `first` image is frontal."""
    total = sum(SPLITS[split][2] for split in SPLITS)
    counts = {view: round(number * len(first) / total) for view, number in VIEWS.items()}
    rest = max(0, len(first) - sum(counts.values()))
    pool = np.repeat([*counts, RARE_VIEW], [*counts.values(), rest]).astype(object)[: len(first)]
    random.shuffle(pool)
    is_frontal = np.isin(pool, FRONTAL)
    frontal, others = pool[is_frontal], pool[~is_frontal]
    places = random.permutation(np.flatnonzero(first & (random.random(len(first)) < FRONTAL_FIRST)))
    places = places[: len(frontal)]
    views = np.empty(len(first), dtype=object)
    views[places] = frontal[: len(places)]
    left = np.ones(len(first), dtype=bool)
    left[places] = False
    remaining = np.concatenate([frontal[len(places) :], others])
    random.shuffle(remaining)
    views[left] = remaining
    return views


# ---- MIMIC-CXR-JPG


def _mimic(folder: Path, films: pd.DataFrame, random: np.random.Generator, share: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count, view = len(films), films["ViewPosition"]
    portable = (view == "AP").to_numpy()
    procedure = np.where(portable, "CHEST (PORTABLE AP)", "CHEST (PA AND LAT)")
    year, month, day = random.integers((2110, 1, 1), (2200, 13, 29), (count, 3)).T
    metadata = films.assign(
        PerformedProcedureStepDescription=procedure,
        StudyDate=year * 10000 + month * 100 + day,
        StudyTime=np.round(random.integers(0, 24, count) * 10000 + random.random(count) * 5959, 3),
        ProcedureCodeSequence_CodeMeaning=procedure,
        ViewCodeSequence_CodeMeaning=view.map(mimic.VIEWS).fillna(""),
        PatientOrientationCodeSequence_CodeMeaning=np.where(portable, "Recumbent", "Erect"),
    )
    _gzipped(folder / f"{mimic.PREFIX}-metadata.csv.gz", metadata[list(mimic.METADATA)])
    split = films[["dicom_id", "study_id", "subject_id", "split"]]
    _gzipped(folder / f"{mimic.PREFIX}-split.csv.gz", split)
    studies = films[["subject_id", "study_id"]].drop_duplicates()
    without = random.permutation(len(studies))
    none = scaled(NOT_IN_CHEXPERT, share)
    cells = {label: _cells(random, len(studies), LABELS[label]) for label in mimic.COLUMNS}
    table = studies.reset_index(drop=True).assign(**cells)
    table.loc[without[none : none + scaled(WITHOUT_LABEL, share)], list(mimic.COLUMNS)] = ""
    _gzipped(folder / f"{mimic.PREFIX}-chexpert.csv.gz", table.drop(index=without[:none]))


def _cells(random: np.random.Generator, count: int, shares: tuple[float, ...]) -> np.ndarray:
    edges = np.cumsum(shares)
    return np.array(["1.0", "0.0", "-1.0", ""], dtype=object)[
        np.searchsorted(edges, random.random(count), "right")
    ]


def as_csv(frame: pd.DataFrame) -> bytes:
    """The rows as text without header; no cell may need quotes."""
    out = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), out, options)
    return out.getvalue()


def _gzipped(path: Path, frame: pd.DataFrame) -> None:
    # no name and no time in the archive: equal content is equal bytes
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as archive:
        archive.write(",".join(frame.columns).encode() + b"\n" + as_csv(frame))


# ---- REFLACX


def _read_films(films: pd.DataFrame, random: np.random.Generator, share: float) -> pd.DataFrame:
    """The films that readers saw, with `phase`: the only frontal of its study, each of another subject."""
    frontal = films[films["ViewPosition"].isin(FRONTAL)]
    alone = frontal[~frontal["study_id"].duplicated(keep=False)].drop_duplicates("subject_id")
    counts = [scaled(number, share) for number in FILMS_READ.values()]
    chosen = alone.iloc[random.permutation(len(alone))[: sum(counts)]].reset_index(drop=True)
    return chosen.assign(phase=np.repeat(list(FILMS_READ), counts)[: len(chosen)])


def _reflacx(folder: Path, read: pd.DataFrame, random: np.random.Generator, share: float) -> None:
    """Three tables, and for each reading its folder with fixations, chest box and ellipses (CRLF)."""
    times = np.where(read["phase"] < 3, READERS, 1)
    readings = read.loc[read.index.repeat(times)].reset_index(drop=True)
    numbers = random.permutation(1_000_000)[: len(readings)]
    trial = readings.groupby("phase")["dicom_id"].transform(lambda names: pd.factorize(names)[0] + 1)
    trial = trial.where(readings["phase"] < 3, 0)
    readings["id"] = [
        f"P{phase}{which:02}R{number:06}" for phase, which, number in zip(readings["phase"], trial, numbers)
    ]
    discarded = random.permutation(np.flatnonzero(readings["phase"] < 3))[: scaled(DISCARDED, share)]
    readings["eye_tracking_data_discarded"] = np.isin(np.arange(len(readings)), discarded)
    subject, study = readings["subject_id"].astype(str), readings["study_id"].astype(str)
    place = "physionet.org/files/mimic-cxr/2.0.0/files/p" + subject.str[:2] + "/p" + subject + "/s" + study
    readings["image"] = place + "/" + readings["dicom_id"] + ".dcm"
    readings["image_size_x"], readings["image_size_y"] = readings["Columns"], readings["Rows"]
    folder.mkdir(parents=True, exist_ok=True)
    for phase, of_phase in readings.groupby("phase"):
        labels = reflacx.LABELS[phase]
        marked = np.where(random.random((len(of_phase), len(labels))) < MARKED, 4, 0)
        table = pd.DataFrame(marked, of_phase.index, labels).astype(object)
        for label in set(reflacx.TEXTUAL) & set(labels):
            table[label] = np.where(table[label] > 0, "True", "False")
        table["Other"] = ""
        flags = of_phase.assign(eye_tracking_data_discarded=of_phase["eye_tracking_data_discarded"].map(str))
        rows = pd.concat([flags[list(reflacx.BEFORE_LABELS)], table.astype(str)], axis=1)
        rows = rows.sort_values("id" if phase < 3 else "image")
        (folder / f"metadata_phase_{phase}.csv").write_bytes(_lines(rows.columns, [as_csv(rows)]))
        _sessions(folder, of_phase, list(labels), random)


def _sessions(folder: Path, readings: pd.DataFrame, labels: list[str], random: np.random.Generator) -> None:
    """The files of single readings."""
    with_gaze = readings[~readings["eye_tracking_data_discarded"]]
    counts = np.maximum(2, random.poisson(FIXATIONS, len(with_gaze)))
    lines = as_csv(_fixations(with_gaze, counts, random)).splitlines(keepends=True)
    stops = np.cumsum(counts)
    fixations = dict(zip(with_gaze["id"], zip(stops - counts, stops)))
    for row in readings.itertuples():
        own = folder / row.id
        own.mkdir()
        chest = random.uniform((0.02, 0.02, 0.85, 0.8), (0.15, 0.15, 0.98, 0.97))
        (own / "chest_bounding_box.csv").write_bytes(_lines(reflacx.BOX, [_row(_box(chest, row))]))
        ellipses = []
        for _ in range(int(random.integers(0, 4))):
            which = int(random.integers(len(labels)))
            low = random.uniform(0.1, 0.6, 2)
            corners = _box(np.concatenate([low, low + random.uniform(0.05, 0.3, 2)]), row)
            ellipses.append(_row([*corners, 4, *(at == which for at in range(len(labels)))]))
        header = (*reflacx.BOX, "certainty", *labels)
        (own / "anomaly_location_ellipses.csv").write_bytes(_lines(header, ellipses))
        if row.id in fixations:
            start, stop = fixations[row.id]
            (own / "fixations.csv").write_bytes(_lines(gaze.COLUMNS, [b"".join(lines[start:stop])]))


def _box(shares: Iterable[float], row: tuple) -> list[int]:
    """(xmin, ymin, xmax, ymax) in pixels from shares of the film's sides."""
    return [round(share * side) for share, side in zip(shares, (row.Columns, row.Rows) * 2)]


def _row(cells: Iterable[object]) -> bytes:
    return (",".join(map(str, cells)) + "\n").encode()


def _lines(header: Iterable[str], parts: list[bytes]) -> bytes:
    """A header and rows with CRLF, as REFLACX writes them."""
    return (",".join(header).encode() + b"\n" + b"".join(parts)).replace(b"\n", b"\r\n")


def _fixations(readings: pd.DataFrame, counts: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """All fixations of these readings, in the order of upstream's columns."""
    of = np.repeat(np.arange(len(readings)), counts)
    width, height = (readings[side].to_numpy()[of] for side in ("Columns", "Rows"))
    total = len(of)
    lasting = random.gamma(3.0, 0.1, total) + 0.05
    before = np.cumsum(lasting) - lasting
    start = before - np.repeat(before[np.cumsum(counts) - counts], counts)
    zoom = np.where(random.random(total) < 0.25, random.uniform(1.5, 2.6, total), 1.0)
    x = random.normal(0.5, 0.17, total) * width
    y = random.normal(0.45, 0.17, total) * height
    half_x, half_y = width / zoom / 2, height / zoom / 2
    left = np.clip(x - half_x, 0, width - 2 * half_x).round()
    top = np.clip(y - half_y, 0, height - 2 * half_y).round()
    degree = 60 * height / 2160 * 1.4 / zoom
    screen = {"xmin": 900, "ymin": 0, "xmax": 2940, "ymax": 2160}
    columns = [
        start.round(3),
        (start + lasting).round(3),
        x.astype(int),
        y.astype(int),
        random.normal(1.0, 0.1, total).round(3),
        degree.astype(int),
        (degree * 1.02).astype(int),
        np.full(total, 1.0),
        np.full(total, 0.5),
        left.astype(int),
        top.astype(int),
        (left + 2 * half_x).astype(int),
        (top + 2 * half_y).astype(int),
        *(np.full(total, side) for side in screen.values()),
    ]
    return pd.DataFrame(dict(zip(gaze.COLUMNS, columns)))


# ---- CheXmask


def _chexmask(
    path: Path, films: pd.DataFrame, evaluated: set[str], random: np.random.Generator, mask_lines: int
) -> None:
    """A row per frontal film; its masks are of one form for each size of film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frontal = films[films["ViewPosition"].isin(FRONTAL)]
    marks = ",".join(map(str, random.integers(0, 2000, 240).tolist()))
    long = {size: _organs(*size, size[0]) for size in SIDES}
    short = {size: _organs(*size, mask_lines) for size in SIDES}
    quality = random.uniform(0.72, 0.93, len(frontal)).round(6)
    quality[random.random(len(frontal)) < 0.02] = 0.5
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(chexmask.COLUMNS) + "\n")
        rows = zip(frontal["dicom_id"], frontal["Rows"], frontal["Columns"], quality.tolist())
        for dicom, height, width, dice in rows:
            masks = (long if dicom in evaluated else short)[height, width]
            file.write(f'{dicom},{min(0.99, dice + 0.03)},{dice},"{marks}",{masks},{height},{width}\n')


def _organs(height: int, width: int, lines: int) -> str:
    """Left lung, right lung and heart: ellipses, each of at most so many lines about its middle."""
    found = []
    for across, down, half_x, half_y in (
        (0.7, 0.45, 0.17, 0.34),
        (0.3, 0.45, 0.17, 0.34),
        (0.55, 0.6, 0.17, 0.16),
    ):
        radius, middle = half_y * height, round(down * height)
        reach = min(int(radius) - 1, max(lines // 2, 1))
        rows = np.arange(max(middle - reach, 0), min(middle + reach, height))
        half = half_x * width * np.sqrt(np.clip(1 - ((rows - middle) / radius) ** 2, 0.01, 1))
        left = np.maximum(across * width - half, 0).astype(int)
        right = np.minimum(across * width + half, width - 1).astype(int)
        pairs = np.stack([rows * width + left + 1, right - left + 1], axis=1)
        found.append(" ".join(map(str, pairs.ravel().tolist())))
    return ",".join(found)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of the releases' size")
    parser.add_argument("--mask-lines", type=int, default=MASK_LINES, help="of masks that nobody evaluates")
    arguments = parser.parse_args()
    films = write(arguments.folder, share=arguments.share, mask_lines=arguments.mask_lines)
    print(f"{arguments.folder}: {len(films)} images of {films['subject_id'].nunique()} subjects")


if __name__ == "__main__":
    main()
