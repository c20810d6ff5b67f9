"""One request at a time: a server's answer in words that decide whether to try again, a file that goes on
where it stopped, and credentials that reach one server alone.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import json
import math
import os
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline import addresses, publishing

AGENT = "Sightline"
CHUNK = 1 << 18  # bytes read at once
LEAST_RATE = 1024  # bytes per second, over the time after which a transfer counts as stalled
MOST_IN_MEMORY = 1 << 28  # bytes of an answer that is read whole
# 408 and 425 mean "again", 429 and 503 "later"; the others are a server's (or its proxy's) own trouble
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
BUSY = {429, 503}


class Temporary(Exception):
    """What may succeed when tried again, after `after` seconds; `busy`: the server asks all to wait."""

    def __init__(self, words: str, after: float = 0.0, busy: bool = False):
        super().__init__(words)
        self.after, self.busy = after, busy


class Permanent(Exception):
    """What fails again however often it is tried."""


class NothingBeyond(Permanent):
    """416: the file, of `total` bytes (None: not said), has nothing where it was to go on."""

    def __init__(self, words: str, total: int | None):
        super().__init__(words)
        self.total = total


class Denied(Exception):
    """401 or 403 (`status`): nothing comes from there before the user has done something."""

    def __init__(self, words: str, status: int):
        super().__init__(words)
        self.status = status


class Stopped(Exception):
    """The download was ended from outside."""


@dataclass(frozen=True)
class Credentials:
    """A user and a password, which no text of this object holds."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    def header(self) -> str:
        """The value of `Authorization` (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def shown(url: str) -> str:
    """`url` as messages show it: scheme, host, port and path, for the rest may grant access."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; credentials go along to the same scheme, host and port alone."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request for `newurl`, or `Permanent` where that would leave http(s) or its encryption.

        One that holds a user or password is not followed either: it would stand in errors' texts.
        """
        there, here = addresses.origin(newurl), addresses.origin(req.full_url)
        leaves = there[0] not in ("http", "https") or (here[0] == "https" and there[0] != "https")
        if leaves or "@" in urllib.parse.urlsplit(newurl).netloc:
            raise Permanent(
                f"{shown(req.full_url)}: redirected to {there[0]}://{there[1]}, which is not followed"
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        secret = req.unredirected_hdrs.get("Authorization")
        if request is not None and secret is not None and there == here:
            request.add_unredirected_header("Authorization", secret)
        return request


def _opener() -> urllib.request.OpenerDirector:
    """What opens http and https, and no other kind of address (urllib's own would read `file:` too)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class Client:
    """Requests to the server of `url`; `credentials` go to it and to nobody else.

    `stall_seconds`: how long a server may be silent, or slower than `LEAST_RATE`. `stop`: set from outside,
    ends transfers.
    """

    def __init__(
        self,
        url: str,
        stall_seconds: float,
        stop: threading.Event,
        credentials: Credentials | None = None,
        agent: str = AGENT,
    ):
        self.url = addresses.checked(url)
        self.stall_seconds, self.stop, self.agent = stall_seconds, stop, agent
        self.credentials = credentials
        self._opener = _opener()

    def open(self, url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """The server's answer, its body not yet read. Raises `Temporary`, `Permanent` or `Denied`."""
        about = {"User-Agent": self.agent, "Accept-Encoding": "identity"} | (headers or {})
        request = urllib.request.Request(url, headers=about)  # noqa: S310 (http alone: `_opener`)
        if self.credentials is not None and addresses.origin(url) == addresses.origin(self.url):
            request.add_unredirected_header("Authorization", self.credentials.header())
        try:
            return self._opener.open(request, timeout=self.stall_seconds)
        except urllib.error.HTTPError as error:
            with error:
                raise refused(url, error.code, error.headers) from None
        except (http.client.InvalidURL, ValueError) as error:
            # a certificate, or an address that is none (redirected to, a proxy's), whose text is not quoted
            why = (
                error if isinstance(error, ssl.SSLCertVerificationError) else "led to an address that is none"
            )
            raise Permanent(f"{url}: {why}") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise Permanent(f"{url}: {reason}") from None
            raise Temporary(f"{url}: {_named(reason)}") from None

    def json(self, url: str) -> Any:
        """The server's answer as JSON. Raises as `open`; `Temporary` for what is not JSON."""
        with self.open(url) as response:
            text = b"".join(self.pieces(response, url, MOST_IN_MEMORY))
        try:
            return json.loads(text) if text.strip() else []
        except (ValueError, RecursionError):
            raise Temporary(f"{url}: answered with something that is not JSON") from None

    def pieces(
        self, response: http.client.HTTPResponse, url: str, most_bytes: float = math.inf
    ) -> Iterator[bytes]:
        """The body, piece by piece.

        Raises `Temporary` where it stalls, breaks off or is shorter than announced, `Permanent` where it has
        more than `most_bytes`.
        """
        announced = response.headers.get("Content-Length")
        got, marked, since = 0, 0, time.monotonic()
        while True:
            try:
                piece = response.read1(CHUNK)
            except (http.client.HTTPException, OSError) as error:
                raise Temporary(f"{url}: broken off after {got} bytes: {_named(error)}") from None
            if not piece:
                break
            got += len(piece)
            if got > most_bytes:
                raise Permanent(f"{url}: sends more than {most_bytes} bytes")
            yield piece
            if self.stop.is_set():
                raise Stopped(url)
            now = time.monotonic()
            if now - since >= self.stall_seconds:
                if got - marked < LEAST_RATE * (now - since):
                    raise Temporary(f"{url}: slower than {LEAST_RATE} bytes/s for {now - since:.3g} s")
                marked, since = got, now
        if announced is not None and announced.isdigit() and got != int(announced):
            raise Temporary(f"{url}: broken off after {got} of {announced} bytes")


def _named(error: object) -> str:
    return str(error) or type(error).__name__  # a timeout has no words of its own


def refused(url: str, status: int, headers: Any) -> Exception:
    """What the answer `status` to a request for `url` means."""
    words = f"{url}: answered {status} {http.client.responses.get(status, '')}".rstrip()
    if status in (401, 403):
        return Denied(words, status)
    if status in TRANSIENT:
        return Temporary(words, retry_after(headers.get("Retry-After")), busy=status in BUSY)
    if status == 416:
        total = headers.get("Content-Range", "").rpartition("/")[2]
        return NothingBeyond(words, int(total) if total.isdigit() else None)
    return Permanent(words)


def retry_after(value: str | None) -> float:
    """Seconds that the header `Retry-After` asks to wait (a number or a date); 0 without one."""
    if value is None:
        return 0.0
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


# ---- a file that goes on where it stopped


def part_of(path: Path) -> Path:
    """The temporary name of `path`, hidden beside it."""
    return path.with_name(f".{path.name}.part")


def _validator_of(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def discard(part: Path) -> None:
    """Remove what was downloaded of a file so far."""
    for path in (part, _validator_of(part)):
        path.unlink(missing_ok=True)


def save(client: Client, url: str, part: Path, checked: bool, most_bytes: float = math.inf) -> None:
    """Bring the whole of `url` into the file `part`, which may hold its beginning.

    The rest alone is asked for (RFC 9110, range requests) where the server named the version that `part` is
    of, or the caller checks the whole afterwards (`checked`). Raises as `Client.open`; what came stays.
    """
    start = part.stat().st_size if part.exists() else 0
    validator = _validator_of(part).read_text() if _validator_of(part).exists() else ""
    headers = {}
    if start and (validator or checked):
        headers = {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
    try:
        with client.open(url, headers) as response:
            goes_on = response.status == 206
            if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                discard(part)
                raise Temporary(f"{url}: answered with another part of the file than asked for")
            with open(part, "ab" if goes_on else "wb") as file:
                if not goes_on:  # the server does not do ranges, or has another version by now
                    # only now that nothing of another version is left: a kill in between would join the two
                    _validator_of(part).write_text(_strong_validator(response.headers))
                for piece in client.pieces(response, url, most_bytes - (start if goes_on else 0)):
                    file.write(piece)
    except NothingBeyond as error:
        if error.total != start:  # else the last byte came before the download was ended
            discard(part)
            raise Temporary(f"{error}: nothing beyond byte {start}, here is too much") from None
    except Permanent:
        discard(part)
        raise


def _strong_validator(headers: Any) -> str:
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def settle(part: Path, path: Path) -> None:
    """Give a file that is whole and right its name, once it is on the disk."""
    publishing.to_disk(part)
    os.replace(part, path)
    discard(part)
