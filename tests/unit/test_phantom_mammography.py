"""The mammography phantoms' files, read with pydicom, csv, plistlib and OpenCV, without our adapters."""

import csv
import hashlib
import plistlib
import re
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sightline import options
from sightline.errors import ConfigError, DatasetError
from sightline.phantom import cbis_ddsm, inbreast
from sightline.phantom.breast import lesions
from sightline.phantom.breast.film import GLANDULAR, Look, Mammogram, arrange, render, tissue, working
from sightline.phantom.breast.lesions import Kind
from sightline.phantom.breast.outline import draw_breast, pose
from sightline.randomness import generator

SMALL = {"height": 160, "width": 128}
COHORT = {"mass_train": 10, "mass_test": 4, "calc_train": 10, "calc_test": 4, **SMALL}
TRAPS = {"several": 0.4, "mixed": 0.5, "resized_masks": 0.15, "separate_series": 0.1, "both_sides": 0.2}
UID = r"1\.3\.6\.1\.4\.1\.9590\.100\.1\.2\.[1-9]\d{0,38}"
KINDS = [(lesion, malignant) for lesion in ("mass", "calcification") for malignant in (True, False)]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- the films themselves


def film(number: int, kinds: list[Kind], view: str, side: str = "LEFT", density: int = 2, **given) -> tuple:
    """A film with lesions, and what it shows."""
    height, width = given.pop("size", (160, 128))
    scale = given.pop("lesion_size", 1.0)
    rng = generator(number, "film")
    plain = Mammogram(side, height, width, draw_breast(rng, density), pose(rng, view), ())
    shown = arrange(plain, kinds, scale, generator(number, "place"))
    look = Look(**{"view_label": False, **given})
    return render(shown, look, generator(number, "pixels")), shown


@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize(("lesion", "malignant"), KINDS)
def test_a_lesion_lies_inside_the_breast_and_changes_nothing_beside_its_mask(lesion, malignant, view, side):
    for number in range(6):
        kind = Kind(lesion, malignant, 5)
        seen, shown = film(number, [kind], view, side)
        bare, _ = film(number, [kind], view, side, contrast=0.0)
        mask = shown.found[0].mask(*seen.shape)
        assert not (np.abs(seen - bare) > 0)[~mask].any()
        change = (seen - bare)[mask]
        assert change.max() > 0.1
        assert change.min() >= 0
        inside = tissue(shown.breast, shown.pose, *seen.shape, muscled=False)
        inside = inside if side == "LEFT" else inside[:, ::-1]
        assert inside[mask].all()
        # the chest wall is on the left of a left breast
        columns = np.flatnonzero((bare > 0.1).any(0))
        assert (columns[0] == 0) if side == "LEFT" else (columns[-1] == seen.shape[1] - 1)


def test_lesions_of_one_film_do_not_overlap_and_a_right_film_is_the_left_one_mirrored():
    kinds = [Kind("mass", True, 5), Kind("calcification", False, 5), Kind("mass", False, 5)]
    left, shown = film(4, kinds, "CC", density=3)
    masks = np.stack([lesion.mask(*left.shape) for lesion in shown.found])
    assert masks.any((1, 2)).all()
    assert masks.sum(0).max() == 1
    right, mirrored = film(4, kinds, "CC", "RIGHT", density=3)
    np.testing.assert_array_equal(right, left[:, ::-1])
    for one, other in zip(masks, mirrored.found):
        np.testing.assert_array_equal(one[:, ::-1], other.mask(*left.shape))
        assert other.box[0] == pytest.approx(
            left.shape[1] - 1 - shown.found[mirrored.found.index(other)].box[2]
        )


def test_a_lesion_too_large_for_its_breast_shrinks():
    seen, shown = film(1, [Kind("mass", False, 5)] * 4, "CC", lesion_size=3.0)
    inside = tissue(shown.breast, shown.pose, *seen.shape, muscled=False)
    sizes = [int(lesion.mask(*seen.shape).sum()) for lesion in shown.found]
    assert all(inside[lesion.mask(*seen.shape)].all() for lesion in shown.found)
    assert min(sizes) > 0
    assert sizes[-1] < sizes[0]


def roundness(mask: np.ndarray) -> float:
    """4 pi area / perimeter^2: 1 of a disc."""
    (outline, *_), _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return 4 * np.pi * cv2.contourArea(outline) / cv2.arcLength(outline, True) ** 2


def test_malignant_masses_are_irregular_and_dense_benign_ones_smooth_and_fainter():
    found = defaultdict(list)
    for number in range(6):
        for malignant in (True, False):
            kind, size = [Kind("mass", malignant, 5)], (320, 256)
            seen, shown = film(number, kind, "CC", size=size)
            change = seen - film(number, kind, "CC", size=size, contrast=0.0)[0]
            mask = shown.found[0].mask(*size)
            found[malignant].append((roundness(mask), change.max(), change[mask].std() / change[mask].mean()))
    bad, good = (np.array(found[malignant]) for malignant in (True, False))
    assert bad[:, 0].max() < good[:, 0].min()  # irregular
    assert bad[:, 1].min() > good[:, 1].max()  # dense
    assert bad[:, 2].min() > good[:, 2].max()  # spicules on a core, not an even oval


def test_malignant_calcifications_are_many_fine_and_close_benign_ones_few_coarse_and_round():
    specks = {
        malignant: [
            lesions.grown(Kind("calcification", malignant, 3), (80.0, 80.0), 20.0, generator(seed, "specks"))
            for seed in range(20)
        ]
        for malignant in (True, False)
    }
    bad, good = ([one.specks for one in specks[malignant]] for malignant in (True, False))
    assert min(map(len, bad)) > max(map(len, good))
    assert np.concatenate(bad)[:, 2].max() < np.concatenate(good)[:, 2].min()  # half lengths
    shape = [np.concatenate(one)[:, 3] / np.concatenate(one)[:, 2] for one in (bad, good)]
    assert shape[0].std() > 3 * shape[1].std()  # pleomorphic
    assert shape[1].min() > 0.8

    def nearest(one):
        apart = np.hypot(*(one[:, None, :2] - one[None, :, :2]).transpose(2, 0, 1))
        return np.mean(np.sort(apart, axis=1)[:, 1])

    assert np.mean([nearest(one) for one in bad]) < 0.6 * np.mean([nearest(one) for one in good])


def test_subtlety_and_contrast_scale_what_is_planted():
    def change(subtlety, contrast):
        kind = [Kind("mass", False, subtlety)]
        seen, bare = (film(2, kind, "CC", contrast=value)[0] for value in (contrast, 0.0))
        return float((seen - bare).max())

    levels = [change(subtlety, 1.0) for subtlety in range(1, 6)]
    assert levels == sorted(levels)
    assert levels[0] == pytest.approx(lesions.FAINTEST * levels[4], rel=1e-4)
    assert change(3, 0.5) == pytest.approx(0.5 * levels[2], rel=1e-4)


def test_dense_breasts_are_brighter_and_a_breast_without_texture_is_even():
    means = {density: [] for density in GLANDULAR}
    for density in GLANDULAR:
        for number in range(8):
            seen, shown = film(number, [], "CC", density=density)
            inside = tissue(shown.breast, shown.pose, *seen.shape)
            means[density].append(seen[inside].mean())
            assert (seen[~inside] == 0).all()
    average = [np.mean(means[density]) for density in sorted(GLANDULAR)]
    assert average == sorted(average)
    even, rough = (film(0, [], "CC", density=3, texture=value)[0] for value in (0.0, 1.0))
    middle = np.s_[70:90, 20:50]
    assert even[middle].std() < 0.3 * rough[middle].std()


def test_the_power_spectrum_of_tissue_falls_as_mammograms_do():
    from sightline.phantom.breast.film import DRAWN_OUT, SLOPE, _clouds

    size = 128
    powers = [
        np.abs(np.fft.fft2(_clouds((size, size), generator(n, "cloud"))[n % 2])) ** 2 for n in range(24)
    ]
    power = np.mean(powers, axis=0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], DRAWN_OUT * np.fft.fftfreq(size)[None])
    chosen = (frequency > 0.03) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[chosen]), np.log(power[chosen]), 1)[0]
    assert slope == pytest.approx(-SLOPE, abs=0.05)


def test_large_films_are_drawn_small_and_their_lesions_lie_where_the_mask_says():
    zoom, shape = working(1024, 820)
    assert max(shape) == 512
    assert zoom == 0.5
    kind = [Kind("mass", True, 5)]
    seen, shown = film(3, kind, "MLO", size=(1024, 820))
    bare, _ = film(3, kind, "MLO", size=(1024, 820), contrast=0.0)
    around = np.ones((15, 15), np.uint8)  # magnifying spreads a change over two pixels of the working grid
    mask = cv2.dilate(shown.found[0].mask(1024, 820).astype(np.uint8), around) > 0
    assert seen.shape == (1024, 820)
    assert not (np.abs(seen - bare) > 1e-6)[~mask].any()
    inner = cv2.erode(mask.astype(np.uint8), np.ones((60, 60))) > 0
    assert (seen - bare)[inner].mean() > 0.1


def features(seen: np.ndarray) -> np.ndarray:
    """A few plain statistics of a film at a quarter of its size: what stands out, at three scales."""
    small = cv2.resize(seen, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = []
    for scale in (0.7, 1.5, 3.0, 6.0):
        band = cv2.GaussianBlur(small, (0, 0), scale) - cv2.GaussianBlur(small, (0, 0), 1.6 * scale)
        found += [band.max(), band.std(), np.sort(band, axis=None)[-30:].mean()]
    return np.array([*found, small.max(), small.mean()])


def test_pathology_can_be_learnt_where_it_shows():
    """AUC of a logistic regression on plain statistics, over half of the films, fitted to the others."""
    rows, labels, films = [], [], 80
    for number in range(films):
        malignant = bool(number % 2)
        kind = Kind(("mass", "calcification")[(number // 2) % 2], malignant, 5)
        view, density = ("CC", "MLO")[(number // 4) % 2], 1 + number // 8 % 3
        easy = {"lesion_size": 1.5, "texture": 0.5, "contrast": 1.5}
        rows.append(features(film(number, [kind], view, density=density, **easy)[0]))
        labels.append(malignant)
    x, y = np.array(rows), np.array(labels)
    x = (x - x.mean(0)) / x.std(0)
    half = films // 2
    fitted = LogisticRegression(max_iter=2000).fit(x[:half], y[:half])
    assert roc_auc_score(y[half:], fitted.decision_function(x[half:])) > 0.85


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_pathology_cannot_be_learnt_where_it_does_not_show(view):
    kinds = [Kind("mass", True, 5), Kind("mass", False, 2), Kind("calcification", True, 5)]
    films = [film(7, [kind], view, contrast=0.0)[0] for kind in kinds]
    for one in films[1:]:
        np.testing.assert_array_equal(one, films[0])
    np.testing.assert_array_equal(film(7, [], view)[0], films[0])


# ---- CBIS-DDSM


@pytest.fixture(scope="module")
def ddsm(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ddsm") / "phantom"
    cbis_ddsm.write(folder, 5, **COHORT, **TRAPS, view_label=False)
    return folder


def tables(folder: Path) -> dict[tuple[str, str], list[dict[str, str]]]:
    found = {}
    for kind in ("mass", "calc"):
        for split in ("train", "test"):
            with (folder / f"{kind}_case_description_{split}_set.csv").open(newline="") as file:
                found[kind, split] = list(csv.DictReader(file))
    return found


def rows_of(folder: Path) -> list[dict[str, str]]:
    return [row for rows in tables(folder).values() for row in rows]


def uids(cell: str) -> list[str]:
    return cell.strip().split("/")


@pytest.fixture(scope="module")
def files(ddsm) -> dict[str, list[pydicom.Dataset]]:
    """Every DICOM file by SeriesInstanceUID, in the order of its folder."""
    found = defaultdict(list)
    for path in sorted(ddsm.rglob("*.dcm")):
        file = pydicom.dcmread(path)
        file.folder = path.parent
        found[file.SeriesInstanceUID].append(file)
    return found


BEFORE = "left or right breast,image view,abnormality id,abnormality type,"
AFTER = ",assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
HEADERS = {
    "mass": f"patient_id,breast_density,{BEFORE}mass shape,mass margins{AFTER}",
    "calc": f"patient_id,breast density,{BEFORE}calc type,calc distribution{AFTER}",
}


def test_the_tables_have_upstreams_bytes(ddsm):
    for kind, split in tables(ddsm):
        data = (ddsm / f"{kind}_case_description_{split}_set.csv").read_bytes()
        first, *_ = data.split(b"\r\n")
        assert first.decode() == HEADERS[kind]
        assert data.endswith(b"\r\n")
        rows = tables(ddsm)[kind, split]
        assert data.count(b"\r\n") == len(rows) + 1
        # one bare line feed per row: in the mask's path of masses, in the crop's of calcifications
        assert data.count(b"\n") - data.count(b"\r\n") == len(rows)
        quoted = "ROI mask file path" if kind == "mass" else "cropped image file path"
        for row in rows:
            assert [name for name, cell in row.items() if "\n" in cell] == [quoted]
            assert row[quoted].endswith(".dcm\n")


def test_the_tables_say_what_upstreams_say(ddsm):
    found = tables(ddsm)
    assert {row["abnormality type"] for row in found["calc", "test"]} == {"calcification"}
    for (kind, split), rows in found.items():
        prefix = {"mass": "Mass", "calc": "Calc"}[kind] + {"train": "-Training", "test": "-Test"}[split]
        for row in rows:
            name = f"{prefix}_{row['patient_id']}_{row['left or right breast']}_{row['image view']}"
            cells = [row[f"{part} file path"] for part in ("image", "cropped image", "ROI mask")]
            assert re.fullmatch(rf"{name}/{UID}/{UID}/000000.dcm", cells[0])
            for cell in cells[1:]:
                assert re.fullmatch(
                    rf"{name}_{row['abnormality id']}/{UID}/{UID}/00000[01].dcm", cell.strip()
                )
            assert all(len(part) <= 64 for cell in cells for part in uids(cell)[1:3])
            assert row["pathology"] in ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")
            assert row["assessment"] in "012345"
            assert row["subtlety"] in "012345"
    everything = rows_of(ddsm)
    assert {row["pathology"] for row in everything} == {"MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"}
    assert {row["left or right breast"] for row in everything} == {"LEFT", "RIGHT"}
    assert {row["image view"] for row in everything} == {"CC", "MLO"}
    # what upstream does not know
    assert "0" in {row["subtlety"] for row in found["mass", "train"]}
    assert "0" in {row["breast density"] for row in found["calc", "test"]}
    for kind, names in {
        "mass": ["mass shape", "mass margins"],
        "calc": ["calc type", "calc distribution"],
    }.items():
        of_kind = [row for split in ("train", "test") for row in found[kind, split]]
        assert all("N/A" in {row[name] for row in of_kind} for name in names)


def test_several_abnormalities_mixed_images_and_patients_in_both_splits(ddsm):
    images = defaultdict(list)
    for row in rows_of(ddsm):
        images[uids(row["image file path"])[0]].append(row)
    several = [rows for rows in images.values() if len(rows) > 1]
    assert several
    assert all([row["abnormality id"] for row in rows] == ["1", "2", "3"][: len(rows)] for rows in several)
    assert all(len({row["image file path"] for row in rows}) == 1 for rows in images.values())
    mixed = [rows for rows in several if len({row["pathology"] == "MALIGNANT" for row in rows}) == 2]
    assert mixed
    assert len(mixed) < len(several)
    found = tables(ddsm)
    patients = {table: {row["patient_id"] for row in rows} for table, rows in found.items()}
    assert len(patients["mass", "train"] & patients["calc", "test"]) == 2
    for kind in ("mass", "calc"):
        assert not patients[kind, "train"] & patients[kind, "test"]
    assert [len(patients[table]) for table in found] == [10, 4, 10, 4]
    # one shared patient is in another breast, the other on the same film
    film_of = {
        table: {(row["patient_id"], row["left or right breast"]) for row in rows}
        for table, rows in found.items()
    }
    assert len(film_of["mass", "train"] & film_of["calc", "test"]) == 1


def test_every_series_of_the_tables_is_there_and_holds_what_it_should(ddsm, files):
    rows = rows_of(ddsm)
    named = {
        uids(row[f"{part} file path"])[2] for row in rows for part in ("image", "cropped image", "ROI mask")
    }
    assert named == set(files)
    assert sum(map(len, files.values())) == len({row["image file path"] for row in rows}) + 2 * len(rows)
    apart = 0
    for row in rows:
        image, crop, mask = (
            uids(row[f"{part} file path"]) for part in ("image", "cropped image", "ROI mask")
        )
        (whole,) = files[image[2]]
        assert (whole.PatientID, whole.StudyInstanceUID) == (image[0], image[1])
        assert whole.SeriesDescription == "full mammogram images"
        if crop[2] != mask[2]:
            apart += 1
            assert crop[1] != mask[1]
            assert files[crop[2]][0].SeriesDescription == "cropped images"
            assert files[mask[2]][0].SeriesDescription == "ROI mask images"
        else:
            assert len(files[crop[2]]) == 2
            assert {file.SeriesDescription for file in files[crop[2]]} == {"ROI mask images"}
        assert files[crop[2]][0].PatientID == crop[0]
    assert 0 < apart < len(rows) / 2


def test_the_dicom_files_are_plain_and_unique(files):
    everything = [file for series in files.values() for file in series]
    assert len({file.SOPInstanceUID for file in everything}) == len(everything)
    for file in everything:
        assert file.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert file.PhotometricInterpretation == "MONOCHROME2"
        assert "WindowCenter" not in file
        assert file.pixel_array.shape == (file.Rows, file.Columns)
        assert file.BitsStored == file.BitsAllocated == 8 * file.pixel_array.dtype.itemsize
        assert file.Modality == "MG"
        assert file.Laterality in "LR"
    films = [file for file in everything if file.SeriesDescription == "full mammogram images"]
    for file in films:
        pixels = file.pixel_array
        assert pixels.dtype == np.uint16
        assert pixels.max() > 30_000
        assert len(np.unique(pixels)) <= 4096  # 12 bits over 16
        assert (abs(file.Rows / 160 - 1) <= 0.07) and (abs(file.Columns / 128 - 1) <= 0.07)


def crop_and_mask(files: dict, row: dict[str, str]) -> tuple[np.ndarray, np.ndarray, bool]:
    """An abnormality's crop and mask told apart by size, and whether the mask comes first."""
    first, second = (uids(row[f"{part} file path"])[2] for part in ("cropped image", "ROI mask"))
    pictures = [file.pixel_array for series in dict.fromkeys((first, second)) for file in files[series]]
    mask_first = pictures[0].size > pictures[1].size
    return (*pictures[::-1], True) if mask_first else (*pictures, False)


def test_masks_are_where_the_lesions_are_whatever_their_file_is_called(ddsm, files):
    orders, resized, crops = Counter(), 0, set()
    for row in rows_of(ddsm):
        (whole,) = files[uids(row["image file path"])[2]]
        crop, mask, mask_first = crop_and_mask(files, row)
        if uids(row["cropped image file path"])[2] == uids(row["ROI mask file path"])[2]:
            orders[mask_first] += 1
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}
        assert all(0.5 < one / other <= 1 for one, other in zip(mask.shape, (whole.Rows, whole.Columns)))
        resized += mask.shape != (whole.Rows, whole.Columns)
        crops.add(crop.dtype)
        on_film = cv2.resize(mask, (whole.Columns, whole.Rows), interpolation=cv2.INTER_NEAREST) > 0
        ys, xs = np.nonzero(on_film)
        # the crop is the film around the mask
        best = cv2.matchTemplate(
            whole.pixel_array.astype(np.float32),
            crop.astype(np.float32) * (256 if crop.dtype == np.uint8 else 1),
            cv2.TM_SQDIFF,
        )
        top, left = np.unravel_index(best.argmin(), best.shape)
        assert left - 3 <= xs.min() <= xs.max() <= left + crop.shape[1] + 3
        assert top - 3 <= ys.min() <= ys.max() <= top + crop.shape[0] + 3
        assert (whole.pixel_array[on_film] > 0.1 * 65535).mean() > 0.95  # in the breast
    assert orders[True] > 0 < orders[False]
    assert 0 < resized < len(rows_of(ddsm)) / 2
    assert crops == {np.dtype(np.uint8), np.dtype(np.uint16)}


def test_the_retrievers_folders(ddsm, files):
    additions = Counter()
    for series in files.values():
        for file in series:
            place = file.folder.relative_to(ddsm).as_posix()
            found = re.fullmatch(
                rf"manifest-\d+/CBIS-DDSM/{file.PatientID}/\d\d-\d\d-\d{{4}}-DDSM(-NA)?-"
                rf"{file.StudyInstanceUID[-5:]}/1\.000000-{file.SeriesDescription}-{file.SeriesInstanceUID[-5:]}",
                place,
            )
            assert found, place
            additions[found.group(1)] += 1
    assert additions["-NA"] > additions[None] > 0


def test_a_rest_client_leaves_a_folder_per_series(tmp_path):
    few = {"mass_train": 3, "mass_test": 1, "calc_train": 2, "calc_test": 1, **SMALL}
    cbis_ddsm.write(tmp_path / "rest", 5, **few, layout="rest")
    for path in (tmp_path / "rest").rglob("*.dcm"):
        assert path.parent.parent == tmp_path / "rest"
        assert pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID == path.parent.name
    cbis_ddsm.write(tmp_path / "other", 5, **few)
    # the layouts hold the same tables and the same files
    by_content = [
        Counter(
            digest for path, digest in digests(tmp_path / name).items() if path.endswith((".dcm", ".csv"))
        )
        for name in ("rest", "other")
    ]
    assert by_content[0] == by_content[1]
    # a folder is taken over from another layout, with nothing left behind
    cbis_ddsm.write(tmp_path / "rest", 5, **few)
    assert digests(tmp_path / "rest") == digests(tmp_path / "other")


def test_the_kaggle_edition(tmp_path):
    few = {"mass_train": 4, "mass_test": 1, "calc_train": 4, "calc_test": 1, **SMALL}
    cbis_ddsm.write(tmp_path, 5, **few, layout="kaggle", view_label=False)
    rows = rows_of(tmp_path / "csv")
    with (tmp_path / "csv/dicom_info.csv").open(newline="") as file:
        info = list(csv.DictReader(file))
    assert len(info) == len({row["image file path"] for row in rows}) + 2 * len(rows)
    series = defaultdict(list)
    for row in info:
        assert re.fullmatch(rf"CBIS-DDSM/jpeg/{row['SeriesInstanceUID']}/\d+-\d+\.jpg", row["image_path"])
        pixels = cv2.imread(
            str(tmp_path / row["image_path"].removeprefix("CBIS-DDSM/")), cv2.IMREAD_UNCHANGED
        )
        assert pixels.dtype == np.uint8
        assert pixels.shape == (int(row["Rows"]), int(row["Columns"]))
        series[row["SeriesInstanceUID"]].append((row["SeriesDescription"], pixels))
    assert len(list((tmp_path / "jpeg").rglob("*.jpg"))) == len(info)
    for row in rows:
        shared = series[uids(row["ROI mask file path"])[2]]
        said = {description for description, _ in shared}
        assert said == ({""} if len(shared) == 2 else {"ROI mask images"})
        mask = max((pixels for _, pixels in shared), key=lambda pixels: pixels.size)
        assert ((mask < 32) | (mask > 223)).mean() > 0.98
        assert [name for name, _ in series[uids(row["image file path"])[2]]] == ["full mammogram images"]
    with (tmp_path / "csv/meta.csv").open(newline="") as file:
        counts = {row["SeriesInstanceUID"]: int(row["ImageCount"]) for row in csv.DictReader(file)}
    assert counts == {uid: len(pictures) for uid, pictures in series.items()}


def published(folder: Path) -> dict[tuple[str, str], list[list[str]]]:
    found = {}
    for kind in ("mass", "calc"):
        for split in ("train", "test"):
            with (folder / f"{kind}_case_description_{split}_set.csv").open(newline="") as file:
                found[kind, split] = list(csv.reader(file))[1:]
    return found


def test_films_for_the_published_tables_carry_their_uids(real, tmp_path):
    folder = real / "cbis_ddsm_tables"
    cbis_ddsm.write(tmp_path, 1, tables=str(folder), max_images=24, layout="rest", **SMALL)
    original, made = published(folder), published(tmp_path)
    images = set()
    for table, rows in made.items():
        kept = {row[11] for row in rows}
        images |= kept
        assert rows == [row for row in original[table] if row[11] in kept]  # whole images, upstream's order
        assert {row[9] == "MALIGNANT" for row in rows} == {True, False}
        data = (tmp_path / f"{table[0]}_case_description_{table[1]}_set.csv").read_bytes()
        source = (folder / f"{table[0]}_case_description_{table[1]}_set.csv").read_bytes()
        lines = [line for line in data.replace(b"\r\n", b"\n").split(b"\n") if line]
        assert set(lines) <= set(source.replace(b"\r\n", b"\n").split(b"\n"))
        assert data.count(b"\r\n") == len(rows) + 1
    assert len(images) == 24
    everything = [row for rows in made.values() for row in rows]
    assert max(Counter(row[11] for row in everything).values()) > 1
    assert any(uids(row[12])[2] != uids(row[13])[2] for row in everything)
    wanted = {uids(cell)[2]: uids(cell)[:2] for row in everything for cell in row[11:14]}
    found = {}
    for path in tmp_path.rglob("*.dcm"):
        file = pydicom.dcmread(path, stop_before_pixels=True)
        found[file.SeriesInstanceUID] = [file.PatientID, file.StudyInstanceUID]
    assert found == wanted


def test_tables_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="mass_case_description_train_set.csv: not readable"):
        cbis_ddsm.write(tmp_path / "out", 1, tables=str(tmp_path))
    for kind in ("mass", "calc"):
        for split in ("train", "test"):
            (tmp_path / f"{kind}_case_description_{split}_set.csv").write_text("patient_id,side\nP_1,LEFT\n")
    with pytest.raises(ConfigError, match="has other columns than patient_id, breast_density"):
        cbis_ddsm.write(tmp_path / "out", 1, tables=str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_the_marker_follows_malignancy_in_training_and_nothing_in_test(tmp_path):
    cohort = {
        "mass_train": 30,
        "mass_test": 24,
        "one_view": 1.0,
        "calc_train": 0,
        "calc_test": 0,
        "shared_patients": 0,
    }
    asked = {"share_with_label": 0.95, "share_without": 0.05, "share_evaluated": 0.5, "size": 0.12}
    cbis_ddsm.write(tmp_path, 2, **cohort, **SMALL, marker=asked, contrast=0.0, layout="rest")
    with (tmp_path / "phantom_truth.csv").open(newline="") as file:
        truth = {row["dicom_id"]: row for row in csv.DictReader(file)}
    assert {row["label"] for row in truth.values()} == {"malignant"}
    shares = defaultdict(list)
    for row in rows_of(tmp_path):
        name = uids(row["image file path"])[0]
        path = tmp_path / uids(row["image file path"])[2] / "1-1.dcm"
        pixels = pydicom.dcmread(path).pixel_array
        bright = pixels[-24:, -24:].max() > 0.95 * 65535
        assert bright == (name in truth)
        if name in truth:
            left, top, right, bottom = (
                int(float(truth[name][side])) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            assert right == left + round(0.12 * pixels.shape[1]) - 1
            assert pixels[top : bottom + 1, left : right + 1].mean() > 0.8 * 65535
        shares[name.split("_")[0], row["pathology"] == "MALIGNANT"].append(bright)
    share = {key: np.mean(values) for key, values in shares.items()}
    assert share["Mass-Training", True] > 0.8
    assert share["Mass-Training", False] < 0.2
    assert 0.25 < share["Mass-Test", True] < 0.75
    assert 0.25 < share["Mass-Test", False] < 0.75


# ---- INbreast


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inbreast")
    inbreast.write(folder, 4, patients=12, odd_names=0.4, at_edge=0.1, **SMALL)
    return folder / "INbreast Release 1.0"


def listed(release: Path) -> list[dict[str, str]]:
    with (release / "INbreast.csv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def regions(release: Path, row: dict[str, str]) -> list[dict]:
    path = release / "AllXML" / f"{row['File Name']}.xml"
    if not path.exists():
        return []
    (image,) = plistlib.loads(path.read_bytes())["Images"]
    assert image["ImageIndex"] == 0
    assert image["NumberOfROIs"] == len(image["ROIs"])
    return image["ROIs"]


def points(roi: dict) -> np.ndarray:
    return np.array([[float(number) for number in text.strip("()").split(",")] for text in roi["Point_px"]])


def test_inbreasts_table_and_names(release):
    rows = listed(release)
    header = (release / "INbreast.csv").read_bytes().decode().split("\r\n")[0]
    assert header == "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
    assert {row["Patient ID"] for row in rows} == {row["Patient age"] for row in rows} == {"removed"}
    assert {row["Bi-Rads"] for row in rows} <= {"1", "2", "3", "4a", "4b", "4c", "5", "6"}
    assert {"1", "2"} < {row["Bi-Rads"] for row in rows}
    assert {row["ACR"].strip() for row in rows} == {"", "1", "2", "3", "4"} - (
        {"4"} - {r["ACR"] for r in rows}
    )
    assert all(re.fullmatch(r"20(08|09|10)(0[1-9]|1[0-2])", row["Acquisition date"]) for row in rows)
    names = {}
    for path in (release / "AllDICOMs").iterdir():
        found = re.fullmatch(r"(\d{8})_([0-9a-f]{16})_MG_([LR])_(CC|ML)_ANON\.dcm", path.name)
        assert found, path.name
        names[found.group(1)] = found.groups()[1:]
    assert {row["File Name"] for row in rows} == set(names)
    for row in rows:
        patient, side, view = names[row["File Name"]]
        assert (row["Laterality"], row["View"].replace("MLO", "ML")) == (side, view)
    assert len({patient for patient, _, _ in names.values()}) == 12


def test_inbreasts_films(release):
    for path in (release / "AllDICOMs").iterdir():
        file = pydicom.dcmread(path)
        assert file.PatientID == "removed"
        assert (file.BitsAllocated, file.BitsStored) == (16, 12)
        assert file.pixel_array.max() < 4096
        side, view = path.name.split("_")[3:5]
        assert file.ImageLaterality == side
        assert file.ViewPosition.replace("MLO", "ML") == view
        wall = 0 if side == "L" else -1
        assert file.pixel_array[:, wall].mean() > 4 * file.pixel_array[:, -1 - wall].mean()
        assert (file.pixel_array == 0).mean() > 0.1  # a digital film is black where nothing is


def test_inbreasts_contours_lie_on_lesions(release):
    names, beyond, kinds = Counter(), 0, defaultdict(set)
    for row in listed(release):
        rois = regions(release, row)
        assert (len(rois) == 0) == (row["Bi-Rads"] == "1")
        pixels = pydicom.dcmread(next((release / "AllDICOMs").glob(f"{row['File Name']}_*"))).pixel_array
        for roi in rois:
            found = points(roi)
            assert len(found) == roi["NumberOfPoints"] == len(roi["Point_mm"])
            assert (found >= -1).all()
            assert (found <= (pixels.shape[1], pixels.shape[0])).all()
            beyond += ((found < 0) | (found > np.array(pixels.shape[::-1]) - 1)).any()
            names[roi["Name"]] += 1
            kinds[roi["Name"]].add(len(found) == 1)
            inside = np.clip(np.round(found).astype(int), 0, np.array(pixels.shape[::-1]) - 1)
            assert (pixels[inside[:, 1], inside[:, 0]] > 150).mean() > 0.9  # in the breast, not in air
    assert beyond > 0
    assert {"Mass", "Cluster", "Calcification"} < set(names)
    assert {"Calcifications", "Assymetry", "Distortion", "Unnamed", "Espiculated Region"} & set(names)
    assert True in kinds["Calcification"]
    assert kinds["Mass"] == kinds["Cluster"] == {False}


def test_inbreasts_contours_hold_what_was_planted(tmp_path):
    """The films with and without what is planted differ in the contours alone (or near the points)."""
    given = {"patients": 5, "malignant": 0.5, **SMALL}
    inbreast.write(tmp_path / "seen", 9, **given)
    inbreast.write(tmp_path / "bare", 9, **given, contrast=0.0)
    changed_films = 0
    for row in listed(tmp_path / "seen" / "INbreast Release 1.0"):
        seen, bare = (
            pydicom.dcmread(
                next((tmp_path / name / "INbreast Release 1.0/AllDICOMs").glob(f"{row['File Name']}_*"))
            ).pixel_array.astype(int)
            for name in ("seen", "bare")
        )
        drawn = np.zeros(seen.shape, np.uint8)
        for roi in regions(tmp_path / "seen" / "INbreast Release 1.0", row):
            cv2.fillPoly(drawn, [np.round(points(roi)).astype(np.int32)], 1)
        near = cv2.dilate(drawn, np.ones((9, 9), np.uint8)) > 0
        changed = np.abs(seen - bare) > 0
        assert not changed[~near].any()
        assert changed.any() == (row["Bi-Rads"] != "1")
        changed_films += changed.any()
    assert changed_films > 5


def test_inbreasts_marker_and_its_truth(tmp_path):
    inbreast.write(tmp_path, 3, patients=16, **SMALL, marker={"share_with_label": 1.0, "share_without": 0.0})
    with (tmp_path / "phantom_truth.csv").open(newline="") as file:
        marked = {row["dicom_id"] for row in csv.DictReader(file)}
    rows = listed(tmp_path / "INbreast Release 1.0")
    assert marked == {row["File Name"] for row in rows if row["Bi-Rads"][0] in "456"}
    assert 0 < len(marked) < len(rows)


# ---- the writers


@pytest.mark.parametrize(
    ("writer", "given"),
    [
        (cbis_ddsm, {"mass_train": 3, "mass_test": 1, "calc_train": 2, "calc_test": 1, **SMALL}),
        (
            cbis_ddsm,
            {"mass_train": 3, "mass_test": 1, "calc_train": 2, "calc_test": 1, "layout": "kaggle", **SMALL},
        ),
        (inbreast, {"patients": 3, **SMALL}),
    ],
    ids=["ddsm", "kaggle", "inbreast"],
)
def test_equal_seeds_give_equal_bytes_and_another_seed_differs(writer, given, tmp_path):
    for name, seed in {"first": 3, "again": 3, "other": 4}.items():
        writer.write(tmp_path / name, seed, **given)
    first = digests(tmp_path / "first")
    assert digests(tmp_path / "again") == first
    pictures = [
        {value for path, value in one.items() if path.endswith((".dcm", ".jpg"))}
        for one in (first, digests(tmp_path / "other"))
    ]
    assert pictures[0].isdisjoint(pictures[1])
    writer.write(tmp_path / "other", 3, **given)  # its own folder is taken over
    assert digests(tmp_path / "other") == first
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="notes.txt"):
        writer.write(tmp_path / "other", 3, **given)
    with pytest.raises(ConfigError, match="patiens"):
        writer.write(tmp_path / "new", 3, patiens=3)


@pytest.mark.parametrize("writer", [cbis_ddsm, inbreast])
def test_options_are_literal_and_described(writer):
    stated = options.read(writer.__name__)["OPTIONS"]
    assert stated == writer.OPTIONS
    assert all({"type", "default", "description"} <= set(option) for option in stated.values())


@pytest.mark.parametrize(("writer", "other"), [(cbis_ddsm, inbreast), (inbreast, cbis_ddsm)])
def test_a_phantom_does_not_take_anothers_folder(writer, other, tmp_path):
    none = {"mass_train": 0, "mass_test": 0, "calc_train": 0, "calc_test": 0}
    given = {cbis_ddsm: none, inbreast: {"patients": 0}}
    other.write(tmp_path, 1, **given[other])
    before = digests(tmp_path)
    with pytest.raises(DatasetError, match="did not write"):
        writer.write(tmp_path, 1, **given[writer])
    assert digests(tmp_path) == before
