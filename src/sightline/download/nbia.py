"""Series of a collection of The Cancer Imaging Archive, by its public REST interface (NBIA, v1).

Each series lands in a folder of its own, `<SeriesInstanceUID>/*.dcm`, below the adapter's folder. Which
series: those named by UID or by a manifest (.tcia), else those that the dataset's tables name, else the
collection's; then those of the chosen patients, kinds and descriptions.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from sightline import dicom, publishing
from sightline.download import archives, fetching, upstream_tables, web
from sightline.download.asked import Asked, Found
from sightline.errors import DatasetError, DownloadError

OPTIONS = {
    "url": {
        "type": "string",
        "default": "https://services.cancerimagingarchive.net/nbia-api/services/v1",
        "description": "Address of the interface.",
    },
    "collection": {
        "type": "string",
        "default": "CBIS-DDSM",
        "description": "The collection, as the archive names it.",
    },
    "manifest": {
        "identifies": True,
        "type": ["string", "null"],
        "default": None,
        "description": "Manifest (.tcia) whose series are fetched; its path starts where snakemake runs.",
    },
    "series": {
        "identifies": True,
        "type": ["array", "null"],
        "items": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)+(?!\n)$", "maxLength": 64},
        "default": None,
        "description": "SeriesInstanceUIDs to fetch.",
    },
    "patients": {
        "identifies": True,
        "type": ["array", "null"],
        "items": {"type": "string"},
        "default": None,
        "description": "Patient ids to keep, whole or up to an underscore: `Mass-Training_P_00001` is all of "
        "that woman's films and their regions, `Mass-Training_P_00001_LEFT_CC` one film and its regions.",
    },
    "kinds": {
        "type": ["array", "null"],
        "items": {"type": "string"},
        "default": None,
        "description": "Beginnings of patient ids to keep; in CBIS-DDSM `Mass`, `Calc`, `Mass-Training`, "
        "`Calc-Test` ...",
    },
    "descriptions": {
        "type": ["array", "null"],
        "items": {"type": "string"},
        "default": None,
        "description": "Series descriptions to keep, e.g. `full mammogram images`.",
    },
    "max_images": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "description": "For a first try: how many DICOM files to fetch at most (one film at least). A film "
        "and its regions stay together; the films are the first by patient id.",
    },
    "tables": {
        "type": ["array", "null"],
        "items": {"type": "string"},
        "default": None,
        "description": "Where the dataset's csv tables are, which this interface does not have: addresses, "
        "files, or folders of csv files. Null: they lie in `data/<dataset>/` already.",
    },
    "checksums": {
        "type": "boolean",
        "default": False,
        "description": "Ask for the archive's MD5 digest of each file (getImageWithMD5Hash) and check it.",
    },
    "check_sizes": {
        "type": "boolean",
        "default": True,
        "description": "A series' bytes must be those of its `File Size`, where the archive states one.",
    },
    "most_series_gb": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 8,
        "description": "A series that unpacks to more (1e9 bytes) is refused.",
    },
}

UID = re.compile(r"[0-9]+(\.[0-9]+)+")
LISTED = "ListOfSeriesToDownload="


def fetch(asked: Asked, session: fetching.Session, url: str, **options: Any) -> Found:
    """Bring the tables and the chosen series; a series that fails is listed.

    Raises `DownloadError` where tables are missing or the archive does not list the collection.
    """
    client = session.client(url)
    place = asked.adapter_options.get("folder") or "."
    tables = upstream_tables.gather(asked, session, options["tables"])
    series, failed = _chosen(asked, session, client, options)
    names = {uid: PurePosixPath(place, uid).as_posix() for uid in series}
    tasks = {uid: partial(bring, session, client, uid, names[uid], options) for uid in series}
    try:
        failed |= session.all(tasks, "series")
    except web.Denied as error:
        raise DownloadError(
            f"{error}. The collection is not public, and this download has no login: fetch it with the NBIA "
            "Data Retriever, or ask for access on the collection's page"
        ) from None
    files = [name for uid in series if uid not in failed for name in session.ledger.below(names[uid])]
    return Found(tables + files, failed, len(series))


def bring(
    session: fetching.Session, client: web.Client, uid: str, name: str, options: dict[str, Any]
) -> None:
    """The series `uid` in the folder `name`, unless it is there: a zip, unpacked aside, checked, moved.

    Raises `web.Temporary` for what may be right when it is fetched again: a damaged archive, another series
    in it, another number of images or of bytes than the archive's own table says.
    """
    recorded = session.ledger.below(name)
    if recorded and all(session.ledger.intact(one) for one in recorded):
        return
    images, size = _announced(client, uid)
    folder = session.folder / name
    aside = folder.with_name(f".{uid}.unpacked")
    present = sorted(folder.glob("*.[dD][cC][mM]"))
    if present and not recorded and _why_wrong(present, uid, images, None) is None:
        _record(session, name, present)  # the user's own download, or one that ended just before this line
        return
    archive = web.part_of(folder.with_name(f"{uid}.zip"))
    call = "getImageWithMD5Hash" if options["checksums"] else "getImage"
    most = int(options["most_series_gb"] * 1e9)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # the archive is checked by its own sums, so that one which was begun may go on
    web.save(client, _query(client, call, SeriesInstanceUID=uid), archive, True, most)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        files = archives.extract(archive, aside, ".dcm", most)
        wrong = _why_wrong(files, uid, images, size if options["check_sizes"] else None)
        if wrong is not None:
            raise web.Temporary(f"series {uid}: {wrong}")
        _move(files, folder)
        _record(session, name, [folder / one.name for one in files])
    finally:
        web.discard(archive)
        shutil.rmtree(aside, ignore_errors=True)


def _record(session: fetching.Session, name: str, files: list[Path]) -> None:
    for path in files:
        session.ledger.add(f"{name}/{path.name}")


def _move(files: list[Path], folder: Path) -> None:
    """Give the series its folder; files of other names that lie there already are the user's to move."""
    names = {one.name for one in files}
    others = [one.name for one in folder.glob("*.[dD][cC][mM]") if one.name not in names]
    if others:
        raise web.Permanent(
            f"{folder}: holds {len(others)} DICOM file(s) that are not of this series ({others[0]}); move "
            "them away and run again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for one in files:
        publishing.to_disk(one)
        one.replace(folder / one.name)


def _why_wrong(files: list[Path], uid: str, images: int, size: int | None) -> str | None:
    """What is wrong with the files of a series, or None."""
    if len(files) != images:
        return f"{len(files)} images came, the archive's table says {images}"
    if size is not None and (found := sum(one.stat().st_size for one in files)) != size:
        return f"{found} bytes came, the archive's table says {size} (option check_sizes)"
    for path in files:
        try:
            found = dicom.header(path, path.parent).get("SeriesInstanceUID")
        except DatasetError as error:
            return str(error)
        if found != uid:
            return f"{path.name} is of series {found}"
    return None


def _announced(client: web.Client, uid: str) -> tuple[int, int | None]:
    """How many images the archive says a series has, and how many bytes (None: not said)."""
    rows = client.json(_query(client, "getSeriesMetaData", SeriesInstanceUID=uid))
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    images, size = str(row.get("Number of Images", "")), str(row.get("File Size", ""))
    if not images.isdigit():
        raise web.Permanent(f"series {uid}: the archive knows no such series, or not how many images it has")
    return int(images), int(size) if size.isdigit() and int(size) > 0 else None


def _query(client: web.Client, call: str, **parameters: str) -> str:
    return f"{client.url}/{call}?{urlencode(parameters, quote_via=quote)}"


# ---- which series


def read_manifest(path: Path) -> list[str]:
    """The SeriesInstanceUIDs of a manifest (.tcia): what follows the line `ListOfSeriesToDownload=`.

    Raises `DatasetError`, naming the line, for a file of another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable manifest ({error}); correct download.manifest") from error
    if LISTED not in (stripped := [line.strip() for line in lines]):
        raise DatasetError(f"{path}: no line '{LISTED}'; take the .tcia file from the collection's page")
    first = stripped.index(LISTED) + 1
    for number, line in enumerate(stripped[first:], first + 1):
        if line and not UID.fullmatch(line):
            raise DatasetError(f"{path}: line {number}: '{line}' is no SeriesInstanceUID")
    return list(dict.fromkeys(filter(None, stripped[first:])))


def _chosen(
    asked: Asked, session: fetching.Session, client: web.Client, options: dict[str, Any]
) -> tuple[list[str], dict[str, str]]:
    """The series to fetch, and those that the archive does not list, with the reason."""
    named = list(options["series"] or [])
    if options["manifest"] is not None:
        named += read_manifest(Path(options["manifest"]))
    if not named:
        named = upstream_tables.series(asked)
    filters = [options[key] for key in ("patients", "kinds", "descriptions", "max_images")]
    if named and not any(filters):
        return list(dict.fromkeys(named)), {}
    listing = _listing(session, client, options["collection"])
    known = {row["SeriesInstanceUID"] for row in listing}
    unlisted = [uid for uid in named if uid not in known]
    rows = [row for row in listing if not named or row["SeriesInstanceUID"] in set(named)]
    rows = [row for row in rows if _wanted(row, options)]
    if options["max_images"] is not None:
        rows = _first(rows, options["max_images"])
    if not rows and not unlisted:
        raise DownloadError(
            f"download: no series of {options['collection']} passes patients, kinds and descriptions; "
            f"patient ids look like '{listing[0].get('PatientID')}'"
        )
    reason = f"{options['collection']} has no such series"
    return [row["SeriesInstanceUID"] for row in rows], dict.fromkeys(unlisted, reason)


def _wanted(row: dict[str, Any], options: dict[str, Any]) -> bool:
    patient, description = str(row.get("PatientID", "")), str(row.get("SeriesDescription", ""))
    patients, kinds, descriptions = options["patients"], options["kinds"], options["descriptions"]
    return (
        (patients is None or any(patient == one or patient.startswith(f"{one}_") for one in patients))
        and (kinds is None or patient.startswith(tuple(kinds)))
        and (descriptions is None or description in descriptions)
    )


def _first(rows: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The first films by patient id with their regions (`<film>_<number>`): `most` images, or one film."""
    films: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (str(row.get("PatientID")), row["SeriesInstanceUID"])):
        film = re.sub(r"((?:CC|MLO))_[0-9]+$", r"\1", str(row.get("PatientID")))
        films.setdefault(film, []).append(row)
    taken: list[dict[str, Any]] = []
    images = 0
    for group in films.values():
        images += sum(int(row.get("ImageCount") or 1) for row in group)
        if taken and images > most:
            break
        taken += group
    return taken


def _listing(session: fetching.Session, client: web.Client, collection: str) -> list[dict[str, Any]]:
    """The archive's list of the collection's series; kept in the folder, so that a second run asks nobody."""
    path = session.folder / f".nbia_{quote(collection, safe='')}.json"
    if not path.exists():
        answers: list[Any] = []
        session.retried(
            lambda: answers.append(client.json(_query(client, "getSeries", Collection=collection)))
        )
        found = [row for row in answers[0] if isinstance(row, dict)] if isinstance(answers[0], list) else []
        rows = [row for row in found if UID.fullmatch(str(row.get("SeriesInstanceUID", "")))]
        if not rows:
            raise DownloadError(
                f"{client.url}: lists no series of a collection '{collection}'; correct download.collection"
            )
        part = web.part_of(path)
        part.write_text(json.dumps(rows), encoding="utf-8")
        web.settle(part, path)
    return json.loads(path.read_text(encoding="utf-8"))
