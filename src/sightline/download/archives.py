"""Zip archives of a server that is not trusted: taken apart inside one folder, or refused."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sightline.download.web import Permanent, Temporary

HASHES = "md5hashes.csv"  # of NBIA's getImageWithMD5Hash; columns Filename, MD5Hash
MOST_MEMBERS, MOST_HASHES = 100_000, 1 << 24  # files of an archive, bytes of its list of digests
MOST_NAME = 255  # bytes of a file's name


def extract(archive: Path, folder: Path, suffix: str, most_bytes: int) -> list[Path]:
    """Write the archive's files that end in `suffix` (in any case) into `folder`, without their folders.

    Other files (LICENSE) are left out. Where the archive lists MD5 digests, they are checked. Raises
    `web.Permanent` for what no honest server sends: a name that leaves the folder, a link, more than
    `most_bytes` unpacked, members that overlap; `web.Temporary` where the archive is cut short or damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened, archive, most_bytes)
            wanted = [one for one in members if one.filename.lower().endswith(suffix)]
            hashes = _hashes(opened, members)
            return [_written(opened, one, folder, hashes) for one in wanted]
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, csv.Error) as error:
        raise Temporary(f"{archive.name}: the archive is cut short or damaged: {error}") from None


def _checked(opened: zipfile.ZipFile, archive: Path, most_bytes: int) -> list[zipfile.ZipInfo]:
    """The members that are files. Raises `Permanent` where any is not what a folder of images holds."""
    members = [one for one in opened.infolist() if not one.is_dir()]
    for one in opened.infolist():
        name = PurePosixPath(one.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in one.filename or not name.name:
            raise Permanent(f"{archive.name}: refused: its file {one.filename!r} would leave the folder")
        if not one.filename.isprintable() or len(name.name.encode()) > MOST_NAME:
            raise Permanent(
                f"{archive.name}: refused: its file {one.filename[:80]!r} has a name that is none"
            )
        if stat.S_IFMT(one.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Permanent(f"{archive.name}: refused: its file '{one.filename}' is a link or no plain file")
        if one.flag_bits & 1:
            raise Permanent(f"{archive.name}: refused: its file '{one.filename}' is encrypted")
    if len(members) > MOST_MEMBERS:
        raise Permanent(f"{archive.name}: refused: it holds {len(members)} files")
    unpacked = sum(one.file_size for one in members)
    if unpacked > most_bytes:
        raise Permanent(
            f"{archive.name}: refused: {unpacked} bytes unpacked, at most {most_bytes} are allowed "
            "(option most_series_gb)"
        )
    if sum(one.compress_size for one in members) > archive.stat().st_size:
        raise Permanent(f"{archive.name}: refused: its files overlap")
    names = [_alike(PurePosixPath(one.filename).name) for one in members]
    if len(set(names)) < len(names):
        raise Permanent(f"{archive.name}: refused: it holds two files of one name")
    return members


def _alike(name: str) -> str:
    """What two names share that some file system takes for one (case, Unicode's composed letters)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _hashes(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> dict[str, str]:
    """File name -> MD5 (hex), as the archive lists them; empty where it does not."""
    for one in members:
        if PurePosixPath(one.filename).name == HASHES:
            if one.file_size > MOST_HASHES:
                raise Permanent(f"{one.filename}: refused: {one.file_size} bytes of digests")
            rows = csv.reader(io.StringIO(opened.read(one).decode("utf-8-sig", "replace")))
            return {row[0]: row[1].strip().lower() for row in rows if len(row) > 1}
    return {}


def _written(opened: zipfile.ZipFile, one: zipfile.ZipInfo, folder: Path, hashes: dict[str, str]) -> Path:
    name = PurePosixPath(one.filename).name
    path = folder / name
    with opened.open(one) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)  # ends at the size announced, and checks the CRC
    listed = hashes.get(name, hashes.get(one.filename))
    if listed is not None:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != listed:
            raise Temporary(f"{name}: MD5 {found} came, the archive lists {listed}")
    return path
