"""Servers on this machine that speak as the archives do, count requests, and misbehave on demand."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import socket
import struct
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np

from sightline.download.fetching import Manners, Session
from sightline.download.ledger import Ledger
from tests.unit import dicom_files

USER, PASSWORD = "a-marked-user", "a-marked-Passw0rd: ü"
QUICK = Manners(workers=2, attempts=4, first_wait=0.01, longest_wait=0.2, stall_seconds=20.0)


class Server:
    """Answers GET with what `content(path, query)` gives (bytes, or a status), with ranges and an ETag.

    `mishaps[name]` is a list of what happens to the next requests whose address holds `name`:
    ("status", code, headers), ("cut", bytes), ("reset", bytes), ("slow", bytes, seconds), ("whole",),
    ("body", bytes), ("to", url).
    """

    def __init__(self, content: Callable[[str, dict], bytes | int]):
        self.content = content
        self.mishaps: dict[str, list[tuple]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.etags = True
        self.password: str | None = None  # of USER; None: everything is open
        self.closed_to_all: set[str] = set()  # what answers 403 to everybody
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, name: str) -> int:
        """How often something whose address holds `name` was asked for."""
        return sum(name in path for path, _ in self.asked)

    def counts(self) -> Counter:
        return Counter(path.partition("?")[0].rpartition("/")[2] for path, _ in self.asked)

    def ranges(self, name: str) -> list[str | None]:
        return [headers.get("range") for path, headers in self.asked if name in path]

    def mishap(self, path: str) -> tuple | None:
        with self._lock:
            for name, queue in self.mishaps.items():
                if name in path and queue:
                    return queue.pop(0)
        return None

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                with server._lock:
                    server.asked.append((self.path, headers))
                with contextlib.suppress(ConnectionError):
                    answer(server, self, headers)

        return Handler


def answer(server: Server, handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
    parts = urlsplit(handler.path)
    mishap = server.mishap(handler.path) or ("none",)
    if mishap[0] == "status":
        return send(handler, mishap[1], b"trouble", mishap[2])
    if mishap[0] == "to":
        return send(handler, 302, b"", {"Location": mishap[1]})
    if server.password is not None:
        expected = base64.b64encode(f"{USER}:{server.password}".encode()).decode()
        if headers.get("authorization") != f"Basic {expected}":
            return send(handler, 401, b"who are you?", {"WWW-Authenticate": 'Basic realm="PhysioNet"'})
    if any(name in handler.path for name in server.closed_to_all):
        return send(handler, 403, b"no agreement", {})
    body = mishap[1] if mishap[0] == "body" else server.content(parts.path, parse_qs(parts.query))
    if isinstance(body, int):
        return send(handler, body, b"", {})
    return send_body(server, handler, headers, body, mishap)


def send_body(server, handler, headers, body, mishap) -> None:
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    about = {"ETag": etag} if server.etags else {}
    status, start = 200, 0
    wanted = headers.get("range", "")
    if wanted.startswith("bytes=") and mishap[0] != "whole" and headers.get("if-range", etag) == etag:
        start = int(wanted[6:].rstrip("-"))
        if start >= len(body):
            return send(handler, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
        status, about["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
    rest = body[start:]
    handler.send_response(status)
    for name, value in (about | {"Content-Length": str(len(rest))}).items():
        handler.send_header(name, value)
    handler.end_headers()
    if mishap[0] in ("cut", "reset"):
        handler.wfile.write(rest[: mishap[1]])
        handler.wfile.flush()
        if mishap[0] == "reset":  # unsent data and no lingering: the peer sees RST, not an end
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()
        return None
    if mishap[0] == "slow":
        for at in range(0, len(rest), mishap[1]):
            handler.wfile.write(rest[at : at + mishap[1]])
            handler.wfile.flush()
            time.sleep(mishap[2])
        return None
    handler.wfile.write(rest)
    return None


def send(handler, status: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in (headers | {"Content-Length": str(len(body))}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextlib.contextmanager
def serving(content: Callable[[str, dict], bytes | int]) -> Iterator[Server]:
    server = Server(content)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def session_in(folder: Path, manners: Manners = QUICK) -> Iterator[Session]:
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(folder, manners, Ledger(folder))
    try:
        yield session
    finally:
        session.ledger.close()


# ---- NBIA


def dicom(series: str, number: int = 1, **elements: object) -> bytes:
    pixels = np.full((6, 5), number, dtype=np.uint16)
    return dicom_files.content(pixels, SeriesInstanceUID=series, InstanceNumber=number, **elements)


def zipped(files: dict[str, bytes], licence: bool = True) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if licence:
            archive.writestr("LICENSE", "CC BY 3.0")
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


class Archive:
    """A collection behind NBIA's interface: patient -> (series, description, files)."""

    def __init__(self, series: dict[str, tuple[str, str, list[bytes]]]):
        self.series = series  # uid -> patient, description, files
        self.archives: dict[str, bytes] = {}  # what getImage gives instead
        self.sizes = True

    def __call__(self, path: str, query: dict) -> bytes | int:
        call = path.rpartition("/")[2]
        if call == "getSeries":
            rows = [
                {
                    "SeriesInstanceUID": uid,
                    "PatientID": patient,
                    "SeriesDescription": about,
                    "ImageCount": len(files),
                }
                for uid, (patient, about, files) in self.series.items()
            ]
            return json.dumps(rows if query["Collection"] == ["CBIS-DDSM"] else []).encode()
        uid = query["SeriesInstanceUID"][0]
        if uid not in self.series:
            return b""
        patient, about, files = self.series[uid]
        if call == "getSeriesMetaData":
            row = {"Subject ID": patient, "Series UID": uid, "Number of Images": str(len(files))}
            size = {"File Size": str(sum(map(len, files)))} if self.sizes else {}
            return json.dumps([row | size]).encode()
        named = {f"1-{number}.dcm": data for number, data in enumerate(files, 1)}
        if call == "getImageWithMD5Hash":
            rows = [f"{name},{hashlib.md5(data).hexdigest()}\n" for name, data in named.items()]
            named["md5hashes.csv"] = ("Filename,MD5Hash\n" + "".join(rows)).encode()
        elif call != "getImage":
            return 404
        return self.archives.get(uid) or zipped(named)


# ---- PhysioNet


class Releases:
    """A tree `<project>/<version>/...` as PhysioNet has it, with the checksums of each project."""

    def __init__(self, root: Path):
        self.root = root

    def write_sums(self) -> None:
        for project in self.root.glob("*/*"):
            files = [path for path in sorted(project.rglob("*")) if path.is_file()]
            lines = [
                f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(project).as_posix()}\n"
                for path in files
                if path.name != "SHA256SUMS.txt"
            ]
            (project / "SHA256SUMS.txt").write_text("".join(lines))

    def __call__(self, path: str, query: dict) -> bytes | int:
        file = self.root / path.removeprefix("/files/")
        return file.read_bytes() if file.is_file() else 404


def gzipped(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)
