"""Many files over few connections: what fails is tried again, what keeps failing is listed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from sightline import runs
from sightline.datasets import upstream
from sightline.download import web
from sightline.download.ledger import Ledger, sha256
from sightline.errors import DatasetError
from sightline.running import jobs

IN_A_ROW = 20  # so many failures without a success between them: the server is gone, and is left alone
AHEAD = 4  # tasks per worker that wait for one


@dataclass(frozen=True)
class Manners:
    """How a server is treated; seconds. None of it changes what a download brings."""

    workers: int = 4
    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 300.0
    stall_seconds: float = 120.0


@dataclass
class Session:
    """A download into `folder`: its record, its manners, and when the server may be asked again."""

    folder: Path
    manners: Manners
    ledger: Ledger
    stop: threading.Event = field(default_factory=threading.Event)
    _not_before: float = 0.0

    def client(self, url: str, **options: object) -> web.Client:
        """Requests to the server of `url`; `options` as `web.Client`."""
        return web.Client(url, self.manners.stall_seconds, self.stop, **options)

    def pause(self, seconds: float, everyone: bool) -> None:
        """Wait before the next attempt; `everyone`: all workers do."""
        if everyone:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
        else:
            self.stop.wait(seconds)

    def turn(self) -> None:
        """Wait until the server may be asked.

        Raises `web.Stopped` where the download was ended, `runs.Superseded` where a later run began.
        """
        runs.check()
        while (left := self._not_before - time.monotonic()) > 0 and not self.stop.is_set():
            self.stop.wait(left)
        if self.stop.is_set():
            raise web.Stopped()

    def retried(self, work: Callable[[], None]) -> None:
        """Do `work`, again where it raises `web.Temporary`: each time after twice the wait, or Retry-After.

        Raises what the last attempt raised.
        """
        manners = self.manners
        for attempt in range(1, manners.attempts + 1):
            self.turn()
            try:
                return work()
            except web.Temporary as error:
                if attempt == manners.attempts:
                    raise
                after = max(error.after, manners.first_wait * 2 ** (attempt - 1))
                after = min(after, manners.longest_wait)
                note(f"{error}; attempt {attempt} of {manners.attempts}, the next in {after:.3g} s")
                self.pause(after, everyone=error.busy)
        return None

    def all(self, tasks: Mapping[str, Callable[[], None]], what: str) -> dict[str, str]:
        """Do all `tasks` (name -> work), several at once; the names of those that failed, with the reasons.

        Raises `web.Denied` at once, for the others would be denied too. After `IN_A_ROW` failures without a
        success the rest is not tried.
        """
        failed: dict[str, str] = {}
        in_a_row = 0

        def attempt(name: str) -> str | None:
            if in_a_row >= IN_A_ROW:
                return f"not tried, for the last {IN_A_ROW} before it failed"
            try:
                self.retried(tasks[name])
            except (web.Temporary, web.Permanent) as error:
                note(f"{name}: given up: {error}")
                return str(error)
            return None

        with ThreadPoolExecutor(self.manners.workers) as pool:
            try:
                done = _as_done(pool, attempt, iter(tasks), AHEAD * self.manners.workers)
                for name, reason in jobs.progress(done, len(tasks), what):
                    in_a_row = in_a_row + 1 if reason else 0
                    if reason:
                        failed[name] = reason
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return failed


def _as_done(
    pool: ThreadPoolExecutor, attempt: Callable[[str], str | None], names: Iterator[str], ahead: int
) -> Iterator[tuple[str, str | None]]:
    """(name, reason) as the tasks end; never more than `ahead` are waiting."""
    running: dict[Future, str] = {}
    while True:
        for name in names:
            running[pool.submit(attempt, name)] = name
            if len(running) >= ahead:
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def note(text: str) -> None:
    """A line in the log."""
    print(text, file=sys.stderr, flush=True)


def file(session: Session, client: web.Client, url: str, name: str, digest: str | None) -> None:
    """Bring `url` into the session's folder as the file `name`, unless it is there and right.

    `digest`: its SHA-256, where the server's owner publishes it; without one a file that is there stays.
    Raises `web.Temporary`, `web.Permanent` or `web.Denied`; what came so far stays for the next attempt.
    """
    try:
        path = upstream.inside(session.folder, name, "download")
    except DatasetError as error:
        raise web.Permanent(str(error)) from None
    if path.is_file():
        present = session.ledger.sha256(name)
        if digest is None or present == digest:
            session.ledger.add(name, present)
            return
        note(f"{name}: its SHA-256 is not the published one; it is fetched anew")
    part = web.part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    web.save(client, url, part, checked=digest is not None)
    found = sha256(part)
    if digest is not None and found != digest:
        web.discard(part)
        raise web.Temporary(f"{url}: SHA-256 {found[:12]}... came, {digest[:12]}... is published")
    web.settle(part, path)
    session.ledger.add(name, found)
