"""Where the files of a CBIS-DDSM series lie, in each layout that downloads leave, and which is the mask.

Layouts: `series`, a folder per SeriesInstanceUID (NBIA's REST interface); `nested`, folders PatientID, then
StudyInstanceUID, then SeriesInstanceUID; `retriever`, the NBIA Data Retriever's, whose folders end in the
last five digits of the UIDs; `jpeg`, the JPEG edition, a folder per SeriesInstanceUID in `jpeg/`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sightline.datasets import mask_files, picture_headers, upstream
from sightline.datasets.picture_headers import Header
from sightline.errors import DatasetError

LAYOUTS = ("series", "nested", "retriever", "jpeg")
MASK, CROP = "ROI mask images", "cropped images"  # SeriesDescription, where crop and mask are separate
LEAST = 0.5  # of the image's sides: a crop is smaller, a mask is not
NEARLY, NEARLY_ALL = 32, 0.98  # of a JPEG's black and white; of its pixels
AGAIN = "download the series again, or set the option `partial` to do without what is not there"


class Files:
    """The files below a folder, found by UIDs; each header is read once.

    `layout` is one of `LAYOUTS`, or `found`: whichever has the series, tried in the order of how often each
    had one so far.
    """

    def __init__(self, root: Path, folder: str = "", layout: str = "found"):
        self.root = root
        top = root / folder
        manifests = sorted(path for path in top.glob("manifest-*") if path.is_dir())
        places = [top, *manifests]
        # a retriever's tree may be given whole, or by its folder of patients
        self._bases = [base for place in places for base in (place, place / "CBIS-DDSM") if base.is_dir()]
        self._bases = self._bases or [top]
        self._hits = Counter({name: 0 for name in (LAYOUTS if layout == "found" else [layout])})
        self._headers: dict[Path, Header] = {}
        self._info = top / "csv" / "dicom_info.csv"
        self._descriptions: dict[tuple[str, str], str] | None = None

    def series(self, patient: str, study: str, series: str) -> list[Header]:
        """The pictures of a series, each once, sorted by path.

        Raises `DatasetError`, saying where it was looked for, if there is none, if one cannot be read, or if
        the files are of another series.
        """
        for layout, _ in self._hits.most_common():
            for base in self._bases:
                paths = _pictures(_folders(layout, base, patient, study, series), layout)
                if paths:
                    self._hits[layout] += 1
                    return self._of_series([self._header(path, layout) for path in paths], series)
        raise DatasetError(
            f"{self.expected(patient, study, series)}: missing, though the case descriptions name it; {AGAIN}"
        )

    def holds(self, patient: str, study: str, series: str) -> bool:
        """Whether there is any file of a series, as far as folders tell."""
        return any(
            _pictures(_folders(layout, base, patient, study, series), layout)
            for layout in self._hits
            for base in self._bases
        )

    def expected(self, patient: str, study: str, series: str) -> str:
        """Where a series would lie in the layout that was met most."""
        layout = self._hits.most_common(1)[0][0]
        last = [f"*-{uid[-5:]}" for uid in (study, series)]
        inner = {
            "series": Path(series, "*.dcm"),
            "nested": Path(patient, study, series, "*.dcm"),
            "retriever": Path(patient, *last, "*.dcm"),
            "jpeg": Path("jpeg", series, "*.jpg"),
        }[layout]
        return upstream.shown(self._bases[-1 if layout == "retriever" else 0] / inner, self.root)

    def _header(self, path: Path, layout: str) -> Header:
        if path not in self._headers:
            self._headers[path] = (
                picture_headers.of_image(path, self.root, self._described(path))
                if layout == "jpeg"
                else picture_headers.of_dicom(path, self.root)
            )
        return self._headers[path]

    def _described(self, path: Path) -> str:
        """SeriesDescription of a JPEG, where the edition's table is there and says it."""
        if self._descriptions is None:
            self._descriptions = {}
            if self._info.is_file():
                table = upstream.read_csv(self._info, ["image_path", "SeriesDescription"], self.root)
                keys = table["image_path"].str.split("/").str[-2:].map(tuple)
                self._descriptions = dict(zip(keys, table["SeriesDescription"]))
        return self._descriptions.get((path.parent.name, path.name), "")

    def _of_series(self, headers: list[Header], series: str) -> list[Header]:
        """Those of the series, each picture once. Raises `DatasetError` for none."""
        own = [header for header in headers if header.series in ("", series)]
        if not own:
            raise DatasetError(
                f"{headers[0].path}: is of the series {headers[0].series}, not {series}; {AGAIN}"
            )
        # a series that was unpacked twice, under the names of two eras
        once = {header.instance or header.path: header for header in reversed(own)}
        return sorted(once.values(), key=lambda header: header.path)


def _folders(layout: str, base: Path, patient: str, study: str, series: str) -> list[Path]:
    """The folders in which a layout would have a series."""
    if layout == "series":
        return [base / series]
    if layout == "jpeg":
        return [base / "jpeg" / series]
    if layout == "nested":
        return [base / patient / study / series]
    return [inner for outer in _ending(base / patient, study[-5:]) for inner in _ending(outer, series[-5:])]


def _ending(folder: Path, digits: str) -> list[Path]:
    """The folders below one whose names end in a hyphen and these digits, sorted."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names if name.endswith(f"-{digits}")]


def _pictures(folders: list[Path], layout: str) -> list[Path]:
    """The pictures in these folders, whatever they are called, sorted; licences and the like aside."""
    endings = (".jpg", ".jpeg", ".png") if layout == "jpeg" else (".dcm", ".dicom")
    found = []
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        # a hidden file with a picture's name is some file system's note about it
        found += [folder / name for name in names if name.lower().endswith(endings) and name[0] != "."]
    return found


def mask_among(pictures: Sequence[Header], image: Header, root: Path) -> Header:
    """Which of an abnormality's pictures is the mask; their order and names in the tables do not tell.

    The mask has the image's size or nearly so: the only one of exactly that size, else the only one both of
    whose sides are at least half the image's. Where that does not decide: SeriesDescription, if crop and mask
    are series of their own; else the pixels, of which a mask has two values. A picture without its pair may
    be the crop of a large lesion, so its pixels decide. Raises `DatasetError` where nothing does.
    """
    described = {picture.description for picture in pictures} >= {MASK, CROP}
    for chosen in (
        [picture for picture in pictures if picture.shape == image.shape],
        [picture for picture in pictures if _share(picture, image) >= LEAST],
        [picture for picture in pictures if described and picture.description == MASK],
    ):
        if len(chosen) == 1 < len(pictures):
            return chosen[0]
    chosen = [picture for picture in pictures if _is_binary(root / picture.path, picture.path)]
    if len(chosen) == 1:
        return chosen[0]
    sizes = ", ".join(f"{picture.width} x {picture.height}" for picture in pictures)
    raise DatasetError(
        f"{pictures[0].path}: of the {len(pictures)} picture(s) of this abnormality ({sizes}) "
        f"{'several' if chosen else 'none'} may be the mask of an image of {image.width} x {image.height} "
        f"pixels, which has nearly its size and two values; {AGAIN}"
    )


def _share(picture: Header, image: Header) -> float:
    """The smaller of a picture's two sides as shares of the image's."""
    return min(picture.height / image.height, picture.width / image.width)


def _is_binary(path: Path, shown: str) -> bool:
    """Whether all pixels are the least or the largest; of a JPEG: nearly all nearly black or white, not none
    of them white."""
    try:
        values = mask_files.pixels(path)
    except ValueError as error:
        raise DatasetError(f"{shown}: {error}") from error
    if mask_files.is_lossy(path):
        white = values > 255 - NEARLY
        return bool(white.any()) and float((white | (values < NEARLY)).mean()) >= NEARLY_ALL
    return bool(((values == values.min()) | (values == values.max())).all())
