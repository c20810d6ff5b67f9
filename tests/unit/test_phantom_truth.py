"""What the phantom plants is there: labels at their rates, changes at their places, dwell, markers."""

import csv
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline import tables
from sightline.datasets import phantom_truth
from sightline.datasets.dataset import Dataset
from sightline.errors import DatasetError
from sightline.phantom import mimic_cxr
from sightline.phantom.chest import film as drawing
from sightline.phantom.chest.anatomy import draw_subject, pose
from sightline.phantom.chest.cohort import HEALTHY, PARENTS, PREVALENCE, WITH_PARENT, draw_planted, rates
from sightline.phantom.chest.findings import LABELS, inside, place_findings, plant
from sightline.phantom.chest.gaze import COLUMNS, draw_readers, look

NOTHING = dict.fromkeys(["training", "validation", "test", "phase_1", "phase_2", "phase_3"], 0)
TINY = {"height": 72, "width": 64, "traps": 0}


def settings(**given) -> dict:
    return {name: option["default"] for name, option in mimic_cxr.OPTIONS.items()} | given


# ---- prevalence


def planted_shares(share: dict[str, float], count: int = 6000) -> tuple[dict[str, float], float]:
    rng = np.random.default_rng(1)
    counts, none = Counter(), 0
    for _ in range(count):
        labels = {label for labels in draw_planted(rng, share) for label in labels}
        counts.update(labels)
        none += not labels
    return {label: counts[label] / count for label in LABELS}, none / count


@pytest.mark.parametrize(
    ("findings", "prevalence"),
    [
        (None, 1.0),
        (None, 0.5),
        (["Pneumothorax"], {"Pneumothorax": 0.5}),
        (["Lung Opacity", "Edema"], {"Lung Opacity": 0.4, "Edema": 0.2}),
        (["Fracture", "Pleural Effusion"], {"Fracture": 0.9, "Pleural Effusion": 0.8}),
    ],
)
def test_labels_have_their_shares(findings, prevalence):
    share = rates(findings, prevalence)
    found, none = planted_shares(share)
    for label in LABELS:
        error = 4.5 * np.sqrt(share[label] * (1 - share[label]) / 6000)
        assert abs(found[label] - share[label]) <= error, label
    assert none >= min(HEALTHY, 1 - max(share.values())) - 0.03


def test_parents_come_with_their_children():
    # a parent whose own share is tiny: half of its children's studies have it
    found, _ = planted_shares(rates(["Edema", "Lung Opacity"], {"Edema": 0.4, "Lung Opacity": 1e-9}))
    assert found["Lung Opacity"] == pytest.approx(WITH_PARENT * 0.4, abs=0.03)
    rng = np.random.default_rng(0)
    for _ in range(300):
        for labels in draw_planted(rng, rates(None, 1.0)):
            assert all(PARENTS[child] == parent for child, parent in zip(labels, labels[1:]))


def test_default_shares_are_those_planted():
    share = rates(None, 1.0)
    assert share == PREVALENCE
    assert rates(["Edema"], 2.0)["Edema"] == 2 * PREVALENCE["Edema"]
    assert sum(rates(["Edema"], 2.0).values()) == 2 * PREVALENCE["Edema"]


# ---- films


def chest(number: int, height: int, width: int, label: str | None = None):
    rng = np.random.default_rng(number)
    anatomy = draw_subject(rng)
    place = pose(anatomy, rng, height, width)
    if label == "Cardiomegaly":
        anatomy = replace(anatomy, heart=anatomy.heart.enlarged(1.42))
    found = place_findings((label,), rng, anatomy, place, 1.0) if label else []
    return anatomy, place, [inside(finding, height, width) for finding in found]


def in_ellipses(found, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.any([((x - f.x) / f.half_x) ** 2 + ((y - f.y) / f.half_y) ** 2 <= 1 for f in found], axis=0)


DARK = {"Pneumothorax"}


@pytest.mark.parametrize("label", [label for label in LABELS if label != "Cardiomegaly"])
@pytest.mark.parametrize("size", [(384, 320), (128, 107)])
def test_a_finding_changes_its_ellipse_and_nothing_else(label, size):
    anatomy, place, found = chest(5, *size, label)
    assert len(found) == (2 if label == "Edema" else 1)
    canvas = drawing.Canvas(*size, place)
    healthy = drawing.densities(canvas, anatomy)
    planted = healthy.copy()
    for finding in found:
        plant(planted, finding, np.random.default_rng(0), 1.0, canvas.zoom, place.x)
    change = planted - healthy
    within = in_ellipses(found, *size)
    assert np.abs(change[~within]).max() == 0
    assert np.abs(change[within]).mean() > 0.02
    assert np.sign(change[within].mean()) == (-1 if label in DARK else 1)
    doubled = healthy.copy()
    for finding in found:
        plant(doubled, finding, np.random.default_rng(0), 2.0, canvas.zoom, place.x)
    np.testing.assert_allclose(doubled - healthy, 2 * change, atol=1e-6)


@pytest.mark.parametrize("label", LABELS)
def test_a_finding_shows_in_the_finished_film_at_its_place_alone(label):
    size = (384, 320)
    anatomy, place, found = chest(8, *size, label)
    usual = chest(8, *size)[0] if label == "Cardiomegaly" else anatomy
    canvas = drawing.Canvas(*size, place)
    with_it = drawing.frontal(canvas, anatomy, usual, found, np.random.default_rng(2), 1.0).astype(float)
    without = drawing.frontal(canvas, usual, usual, [], np.random.default_rng(2), 1.0).astype(float)
    change = np.abs(with_it - without)
    within = in_ellipses(found, *size)
    assert change[within].mean() > 4  # of 255, over the whole ellipse: a tube fills little of it
    if label == "Cardiomegaly":  # the lung's border moves with the heart's, just outside
        assert change[within].mean() > 20 * change[~within].mean()
    else:
        assert change[~within].max() == 0


def test_films_are_nearly_equalised():
    canvas = drawing.Canvas(384, 320, chest(8, 384, 320)[1])
    anatomy = chest(8, 384, 320)[0]
    film = drawing.frontal(canvas, anatomy, anatomy, [], np.random.default_rng(2), 1.0)
    shares = np.histogram(film, bins=8, range=(0, 256))[0] / film.size
    assert np.abs(shares - 1 / 8).max() < 0.06


def test_places_hold_on_films_larger_than_the_drawing_grid():
    size = (1536, 1280)
    anatomy, place, found = chest(3, *size, "Lung Lesion")
    canvas = drawing.Canvas(*size, place)
    films = [
        drawing.frontal(canvas, anatomy, anatomy, planted, np.random.default_rng(2), 3.0).astype(float)
        for planted in (found, [])
    ]
    change = np.abs(films[0] - films[1]) > 40
    y, x = np.nonzero(change)
    assert np.mean(x) == pytest.approx(found[0].x, abs=2)
    assert np.mean(y) == pytest.approx(found[0].y, abs=2)
    assert in_ellipses(found, *size)[change].mean() > 0.97


# ---- the truth's table


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("truth") / "tree"
    mimic_cxr.write(
        root, 5, **NOTHING | TINY | {"training": 60, "test": 4, "phase_3": 8, "uncertain": 0, "traps": 0.1}
    )
    return root


def read_truth(root: Path) -> list[dict[str, str]]:
    with (root / "phantom_truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def mimic(root: Path, table: str) -> pd.DataFrame:
    path = root / f"physionet.org/files/mimic-cxr-jpg/2.1.0/mimic-cxr-2.0.0-{table}.csv.gz"
    return pd.read_csv(path, keep_default_na=table != "metadata")


def test_truth_is_what_the_labels_say(planted):
    rows = read_truth(planted)
    assert list(rows[0]) == ["dicom_id", "kind", "label", "shape", "xmin", "ymin", "xmax", "ymax"]
    assert {row["kind"] for row in rows} == {"finding"}  # no marker unless asked for
    assert {row["shape"] for row in rows} == {"ellipse"}
    marked = defaultdict(set)
    for row in rows:
        marked[row["dicom_id"]].add(row["label"])
    metadata = mimic(planted, "metadata").merge(mimic(planted, "chexpert"), on="study_id")
    frontal = metadata[~metadata["ViewPosition"].isin(["LATERAL", "LL"])]
    assert len(frontal) > 70
    for row in frontal.to_dict("records"):
        true = {label for label in LABELS if row[label] == 1}
        assert marked[row["dicom_id"]] == true
        assert (row["No Finding"] == 1) == (true <= {"Support Devices"})
    lateral = metadata[metadata["ViewPosition"].isin(["LATERAL", "LL"])]
    assert len(lateral)
    assert not set(lateral["dicom_id"]) & set(marked)


def test_ellipses_lie_on_their_films(planted):
    size = mimic(planted, "metadata").set_index("dicom_id")
    for row in read_truth(planted):
        xmin, ymin, xmax, ymax = (float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
        assert 0 <= xmin < xmax <= size.loc[row["dicom_id"], "Columns"] - 1
        assert 0 <= ymin < ymax <= size.loc[row["dicom_id"], "Rows"] - 1


def test_findings_left_out_are_zero_everywhere(tmp_path):
    only = {
        "findings": ["Consolidation"],
        "prevalence": {"Consolidation": 0.5},
        "uncertain": 0,
        "missing_labels": 0,
    }
    mimic_cxr.write(tmp_path / "tree", 2, **NOTHING | TINY | only | {"training": 80})
    expert = mimic(tmp_path / "tree", "chexpert")
    assert {row["label"] for row in read_truth(tmp_path / "tree")} == {"Consolidation"}
    assert 0.3 < expert["Consolidation"].mean() < 0.7
    others = [label for label in LABELS if label != "Consolidation"]
    assert (expert[others] == 0).all(axis=None)
    assert (expert["No Finding"].fillna(0) == 1 - expert["Consolidation"]).all()


def test_readers_name_what_is_planted(planted):
    main = planted / "physionet.org/files/reflacx-xray-localization/1.0.0/main_data"
    phase_3 = pd.read_csv(main / "metadata_phase_3.csv")
    named = {
        "Cardiomegaly": "Enlarged cardiac silhouette",
        "Pleural Effusion": "Pleural abnormality",
        "Support Devices": "Support devices",
    }
    truth = {(row["dicom_id"], row["label"]) for row in read_truth(planted)}
    agree = [
        ((row["dicom_id"], label) in truth) == bool(row[name])
        for row in phase_3.to_dict("records")
        for label, name in named.items()
    ]
    assert len(agree) == 24
    assert np.mean(agree) > 0.85


# ---- gaze


def inside_share(fixations: np.ndarray, found) -> float:
    """The share of the time that is spent in the ellipses."""
    frame = dict(zip(COLUMNS, fixations.T))
    x, y = frame["x_position"], frame["y_position"]
    hit = np.any([((x - f.x) / f.half_x) ** 2 + ((y - f.y) / f.half_y) ** 2 <= 1 for f in found], axis=0)
    seconds = frame["timestamp_end_fixation"] - frame["timestamp_start_fixation"]
    return float((seconds * hit).sum() / seconds.sum())


def shares(dwell: float, differences: float = 0.0, blind: bool = False) -> np.ndarray:
    """Per film, time inside the ellipse of an opacity; `blind` readers look at the same chest without it."""
    size = (384, 320)
    reader = draw_readers(0, 1, differences)[0]
    values = []
    for number in range(60):
        _, place, found = chest(number, *size, "Lung Opacity")
        rng = np.random.default_rng(1000 + number)
        look_at = [] if blind else found
        values.append(inside_share(look(rng, reader, place, look_at, size, settings(dwell=dwell)), found))
    return np.array(values)


def test_dwell_puts_time_on_findings():
    anatomy = shares(0.4, blind=True).mean()
    means = [shares(dwell).mean() for dwell in (0.0, 0.25, 0.5, 0.9)]
    # at 0 the gaze is the same whether there is a finding or not
    assert means[0] == pytest.approx(anatomy, abs=1e-12)
    assert np.all(np.diff(means) > 0.1)
    # a fixation on a finding lies in its ellipse with probability p: two normals of sd 0.38, the unit circle
    p = 1 - np.exp(-0.5 / 0.38**2)
    for dwell, mean in zip((0.25, 0.5, 0.9), means[1:]):
        assert mean == pytest.approx(0.98 * (dwell * p + (1 - dwell) * anatomy / 0.98), abs=0.03)


def test_dwell_reaches_the_files_and_changes_only_the_gaze(tmp_path):
    found = []
    for dwell in (0.0, 0.7):
        root = tmp_path / str(dwell)
        mimic_cxr.write(root, 1, **NOTHING | TINY | {"phase_2": 4, "phase_3": 12, "dwell": dwell})
        main = root / "physionet.org/files/reflacx-xray-localization/1.0.0/main_data"
        ellipses = defaultdict(list)
        for row in read_truth(root):
            ellipses[row["dicom_id"]].append([float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax")])
        rows = pd.concat([pd.read_csv(main / f"metadata_phase_{phase}.csv") for phase in (2, 3)])
        shares = []
        for row in rows[~rows["eye_tracking_data_discarded"]].itertuples():
            if not ellipses[row.dicom_id]:
                continue
            frame = pd.read_csv(main / row.id / "fixations.csv")
            seconds = frame["timestamp_end_fixation"] - frame["timestamp_start_fixation"]
            boxes = np.array(ellipses[row.dicom_id])[:, :, None]
            middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
            at = frame[["x_position", "y_position"]].to_numpy().T
            hit = ((((at - middle) / half) ** 2).sum(1) <= 1).any(0)
            shares.append((seconds * hit).sum() / seconds.sum())
        found.append(np.mean(shares))
        films = sorted(root.rglob("*.jpg"))
        if dwell == 0.0:
            first = [film.read_bytes() for film in films]
        else:
            assert [film.read_bytes() for film in films] == first
    assert found[1] > found[0] + 0.2


def test_readers_differ_as_far_as_asked():
    alike, unlike = draw_readers(0, 5, 0.0), draw_readers(0, 5, 1.0)
    assert all((reader.weights == alike[0].weights).all() and reader.fixations == 1 for reader in alike)
    assert np.std([reader.dwell for reader in unlike]) > 0.1
    size = (384, 320)
    _, place, _ = chest(0, *size)
    counts = [
        np.mean([len(look(np.random.default_rng(i), reader, place, [], size, settings())) for i in range(20)])
        for reader in unlike
    ]
    expected = [60 * reader.fixations for reader in unlike]
    assert np.allclose(counts, expected, rtol=0.15)


# ---- markers


def marked_films(root: Path) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    split = mimic(root, "split").merge(mimic(root, "chexpert"), on=["study_id", "subject_id"])
    markers = {row["dicom_id"]: row for row in read_truth(root) if row["kind"] == "marker"}
    return split.assign(marked=split["dicom_id"].isin(markers)), markers


@pytest.mark.parametrize(("with_label", "without"), [(0.95, 0.05), (0.5, 0.5)])
def test_markers_follow_their_label_in_training_only(tmp_path, with_label, without):
    shortcut = {
        "label": "Edema",
        "share_with_label": with_label,
        "share_without": without,
        "corner": "lower right",
    }
    asked = {"findings": ["Edema"], "prevalence": {"Edema": 0.5}, "uncertain": 0, "shortcut": shortcut}
    mimic_cxr.write(tmp_path / "tree", 7, **NOTHING | TINY | asked | {"training": 160, "test": 80})
    films, markers = marked_films(tmp_path / "tree")
    for split, expected in {"train": (with_label, without), "test": (0.5, 0.5)}.items():
        of_split = films[films["split"] == split]
        for label, share in zip((1, 0), expected):
            marked = of_split[of_split["Edema"].fillna(0) == label]["marked"]
            assert abs(marked.mean() - share) < 4 * np.sqrt(max(share * (1 - share), 0.02) / len(marked))
    size = mimic(tmp_path / "tree", "metadata").set_index("dicom_id")
    for path in (tmp_path / "tree").rglob("*.jpg"):
        pixels = np.asarray(Image.open(path)).astype(float)
        if path.stem in markers:
            row = markers[path.stem]
            assert (row["label"], row["shape"]) == ("Edema", "rectangle")
            xmin, ymin, xmax, ymax = (int(float(row[side])) for side in ("xmin", "ymin", "xmax", "ymax"))
            assert xmin > 0.8 * size.loc[path.stem, "Columns"]
            assert ymin > 0.8 * size.loc[path.stem, "Rows"]
            assert np.percentile(pixels[ymin : ymax + 1, xmin : xmax + 1], 60) > 225


# ---- the annotation


def dataset_of(root: Path, count: int) -> Dataset:
    images = pd.DataFrame({"image": sorted({row["dicom_id"] for row in read_truth(root)})[:count]})
    return replace(Dataset.nothing("cxr"), images=images)


def test_annotation_adds_the_boxes_of_the_datasets_images(planted):
    dataset = phantom_truth.annotate(planted, dataset_of(planted, 9))
    tables.conform("boxes", dataset.boxes, "here")  # columns, types, unique keys
    wanted = [row for row in read_truth(planted) if row["dicom_id"] in set(dataset.images["image"])]
    assert len(dataset.boxes) == len(wanted)
    ours = dataset.boxes[["image", "kind", "label", "shape", "xmin", "ymin", "xmax", "ymax"]].astype(str)
    theirs = [
        tuple(str(float(value)) if "m" in key[1:] and key[0] in "xy" else value for key, value in row.items())
        for row in wanted
    ]
    assert sorted(ours.itertuples(index=False, name=None)) == sorted(theirs)
    assert set(dataset.boxes["reader"]) == {""}
    assert phantom_truth.sources(planted) == [planted / "phantom_truth.csv"]


def test_annotation_counts_equal_keys(planted):
    dataset = phantom_truth.annotate(planted, dataset_of(planted, 10_000))
    assert dataset.boxes["index"].max() >= 1  # both sides of an edema
    keys = dataset.boxes[["image", "kind", "label", "index"]]
    assert not keys.duplicated().any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "missing"),
        ("dicom_id,kind,label,shape,xmin,ymin,xmax\n", "ymax"),
        ("a,finding,Edema,circle,1,2,3,4\n", ":2: shape is 'circle'"),
        ("a,place,Edema,ellipse,1,2,3,4\n", ":2: kind is 'place'"),
        ("a,finding,Edema,ellipse,1,2,nan,4\n", ":2: xmax is 'nan'"),
        ("a,finding,Edema,ellipse,1,,3,4\n", ":2: ymin is ''"),
        ("a,finding,Edema,ellipse,3,2,3,4\n", ":2: an empty box"),
    ],
)
def test_annotation_refuses_what_is_no_truth(tmp_path, text, message):
    if text is not None:
        header = "" if text.startswith("dicom_id") else "dicom_id,kind,label,shape,xmin,ymin,xmax,ymax\n"
        (tmp_path / "phantom_truth.csv").write_text(header + text)
    dataset = replace(Dataset.nothing("cxr"), images=pd.DataFrame({"image": ["a"]}))
    with pytest.raises(DatasetError, match=message):
        phantom_truth.annotate(tmp_path, dataset)
