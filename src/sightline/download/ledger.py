"""What was downloaded into a folder and found right: a hidden file in it, a line per file.

It lies with the data, so that deleted results cost no download. A file whose size and time of change are
those of its line is taken as its line says; any other is read again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
import time
from pathlib import Path
from typing import TextIO

from sightline.errors import DownloadError

NAME = ".sightline_downloads.jsonl"
AGAIN_SECONDS = 0.2  # between two attempts to get the lock


def sha256(path: Path) -> str:
    """The digest of a file (hex)."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Ledger:
    """The record of `folder`; several threads may use it, a second process may not (`DownloadError`).

    Another process that writes there (one that outlived its Snakemake) gets `patience` seconds to end.
    """

    def __init__(self, folder: Path, patience: float = 0.0):
        self.folder, self._patience = folder, patience
        self._lock = threading.Lock()
        self._entries: dict[str, dict] = {}
        self._below: dict[str, list[str]] = {}
        self._file = self._opened(folder / NAME)

    def _opened(self, path: Path) -> TextIO:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  # closed by `close`
        try:
            self._locked(file)
        except BlockingIOError:
            file.close()
            raise DownloadError(
                f"{path.parent}: another download is writing there; wait until it has ended"
            ) from None
        except OSError:  # a file system without locks: the user keeps to one download at a time
            print(f"{path}: this file system knows no locks; start no second download into this folder")
        file.seek(0)
        for line in file:
            try:
                entry = json.loads(line)
                self._keep(entry["path"], {key: entry[key] for key in ("bytes", "mtime_ns", "sha256")})
            except (ValueError, KeyError, TypeError):  # a line that a killed job left unfinished
                continue
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            file.write("\n")
        return file

    def _locked(self, file: TextIO) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
                time.sleep(AGAIN_SECONDS)

    def _keep(self, name: str, entry: dict) -> None:
        if name not in self._entries:
            self._below.setdefault(name.rpartition("/")[0], []).append(name)
        self._entries[name] = entry

    def close(self) -> None:
        """Let others write to the folder."""
        self._file.close()

    def recorded(self, name: str) -> str | None:
        """The SHA-256 with which the file `name` was recorded, whatever it is now; None without a record."""
        entry = self._entries.get(name)
        return entry and entry["sha256"]

    def below(self, folder: str) -> list[str]:
        """The recorded files that lie directly in `folder`, a name below this one."""
        return sorted(self._below.get(folder, []))

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of the file `name` as it is now; None where there is none."""
        path = self.folder / name
        if not path.is_file():
            return None
        stat, entry = path.stat(), self._entries.get(name)
        if entry is not None and (entry["bytes"], entry["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns):
            return entry["sha256"]
        digest = sha256(path)
        if entry is not None and digest == entry["sha256"]:  # touched, or copied: the same content
            self.add(name, digest)
        return digest

    def intact(self, name: str) -> bool:
        """Whether the file `name` is what was recorded."""
        recorded = self.recorded(name)
        return recorded is not None and self.sha256(name) == recorded

    def add(self, name: str, digest: str | None = None) -> None:
        """Record the file `name` as right; `digest` is its SHA-256, where that is known."""
        path = self.folder / name
        stat = path.stat()
        entry = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest or sha256(path)}
        with self._lock:
            if self._entries.get(name) != entry:
                self._keep(name, entry)
                self._file.write(json.dumps({"path": name} | entry) + "\n")
                self._file.flush()

    def files(self, names: list[str]) -> list[dict]:
        """`names` sorted, each once, those that are there, with their bytes and SHA-256."""
        found = []
        for name in sorted(set(names)):
            digest = self.sha256(name)
            if digest is not None:
                size = (self.folder / name).stat().st_size
                found.append({"path": name, "bytes": size, "sha256": digest})
        return found
