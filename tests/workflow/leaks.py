"""Looking for what must not be shared: in pages, in figures (their pictures decoded), in aggregates."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import uniform_filter

ALIKE = 0.5  # correlation (of what is fine) above which a picture shows a film
# tables that hold a row per image, reading or file; all others directly in the study's folder are aggregates
PER_IMAGE = {"strata.parquet"}


def shared_pages(results: Path) -> list[Path]:
    """The page, its figures and their captions, and the record of how all was made."""
    figures = sorted((results / "figures").glob("*"))
    found = [results / "report.html", *(path for path in figures if not path.name.startswith("."))]
    return [path for path in (*found, results / "provenance.json") if path.exists()]


def aggregates(results: Path) -> list[Path]:
    """The tables of aggregates."""
    return sorted(path for path in results.glob("*.parquet") if path.name not in PER_IMAGE)


def pictures(path: Path) -> list[np.ndarray]:
    """Every picture that a page or figure embeds, as grey values (h, w)."""
    data = re.findall(r"data:image/\w+;base64,([^\"')]+)", path.read_text(encoding="utf-8"))
    decoded = [base64.b64decode(re.sub(r"\s|%0A|&#10;", "", one)) for one in data]
    opened = [Image.open(io.BytesIO(one)).convert("RGBA") for one in decoded]
    return [np.asarray(one.convert("RGB").convert("L"), dtype=np.float64) for one in opened]


def films_in(path: Path, films: Mapping[str, np.ndarray]) -> list[str]:
    """Those of `films` (name -> grey values) that a picture in `path` shows, upright or turned, whole."""
    return [
        name
        for name, film in films.items()
        if any(shows(picture, film) for picture in _large(pictures(path)))
    ]


def _large(found: list[np.ndarray]) -> list[np.ndarray]:
    return [one for one in found if min(one.shape) >= 8 and one.std() > 0]


def shows(picture: np.ndarray, film: np.ndarray) -> bool:
    """Whether a picture is one of the film, upright or turned."""
    turned = [np.rot90(picture, turns)[:, ::mirror] for turns in range(4) for mirror in (1, -1)]
    return any(abs(_correlation(one, film)) > ALIKE for one in turned)


def _correlation(picture: np.ndarray, film: np.ndarray) -> float:
    """Of what is fine in both: what films have in common (a breast, lungs) is taken away with their blur."""
    size = (min(picture.shape[1], film.shape[1], 48), min(picture.shape[0], film.shape[0], 48))
    fine = [_fine(one, size) for one in (picture, film)]
    return 0.0 if min(one.std() for one in fine) == 0 else float(np.corrcoef(*fine)[0, 1])


def _fine(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    small = np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.BOX))
    return (small - uniform_filter(small, 5)).ravel()


def words_in(path: Path, words: Collection[str]) -> list[str]:
    """Those of `words` that stand anywhere in a file: its text, or a table's cells and metadata."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        text = "\n".join(str(value) for column in frame for value in frame[column].unique())
        text += path.read_bytes().decode("latin-1")
    else:
        text = path.read_bytes().decode("utf-8", "replace")
    return sorted(word for word in words if word in text)


def numbers_in(path: Path, numbers: Collection[float]) -> list[float]:
    """Those of `numbers` that a cell of a table holds."""
    frame = pd.read_parquet(path).select_dtypes("number")
    return [one for one in numbers if np.isclose(frame.to_numpy(dtype=float), one, rtol=0, atol=1e-9).any()]


def prepared_films(results: Path, dataset: str) -> dict[str, np.ndarray]:
    """The films of a dataset as they were prepared, without the padding."""
    rows = pd.read_parquet(results / f"prepared/{dataset}/prepared.parquet")
    pixels = np.load(results / f"prepared/{dataset}/pixels.npy", mmap_mode="r")
    films = {}
    for row in rows.sort_values("side").itertuples():
        film = pixels[row.offset : row.offset + int(np.prod(row.shape))].reshape(row.shape).astype(float)
        inside = film > film.min()
        if inside.any():
            films[row.image] = film[np.ix_(inside.any(axis=1), inside.any(axis=0))]
    return films
