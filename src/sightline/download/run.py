"""A dataset's download from beginning to end: into its folder, by the module that knows the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline import modules
from sightline.download import web
from sightline.download.asked import Asked
from sightline.download.fetching import Manners, Session, note
from sightline.download.ledger import Ledger
from sightline.errors import DownloadError

MOST_SHOWN = 3  # reasons in the message; the log has all


def download(
    asked: Asked, source: str, options: dict[str, Any], accept_missing: bool, manners: Manners
) -> dict:
    """Bring what the study needs of a dataset into its folder, and say what is there.

    `source` is a module of this package. Returns what was asked, the files (path below the folder, bytes,
    SHA-256) and what failed and why: equal content for equal files. Raises `DownloadError` where something
    failed (unless `accept_missing`), access is denied, or another download writes there. What came stays.
    """
    make_folder(asked.folder)
    session = Session(asked.folder, manners, Ledger(asked.folder, manners.stall_seconds))
    try:
        found = modules.load("sightline.download", source).fetch(asked, session, **options)
        files = session.ledger.files(found.files)
    except web.Denied as error:
        raise DownloadError(f"{error}. The server gives no access to it") from None
    except OSError as error:
        raise DownloadError(f"{asked.folder}: {error}; mend that and run again, what came stays") from error
    except (web.Temporary, web.Permanent) as error:
        raise DownloadError(f"{error}; what came stays, run again") from None
    finally:
        session.ledger.close()
    failed = [{"name": name, "reason": reason} for name, reason in sorted(found.failed.items())]
    for one in failed:
        note(f"missing: {one['name']}: {one['reason']}")
    if failed and not accept_missing:
        raise DownloadError(_missing(asked, failed, found.wanted))
    asked_for = {"from": source, "options": options, "accept_missing": accept_missing}
    return {"dataset": asked.name, "asked": asked_for, "files": files, "failed": failed}


def make_folder(folder: Path) -> None:
    """Make the dataset's folder, where it is not there.

    Raises `DownloadError` for a link that leads nowhere, for what is no folder, and below `results`, which
    may be deleted at any time.
    """
    if folder.is_symlink() and not folder.exists():
        raise DownloadError(f"{folder}: links to {folder.readlink()}, which does not exist; make that folder")
    if folder.exists() and not folder.is_dir():
        raise DownloadError(f"{folder}: no folder; move the file away")
    if folder.resolve().is_relative_to(Path("results").resolve()):
        raise DownloadError(f"{folder}: lies below results/, which may be deleted; link elsewhere")
    folder.mkdir(parents=True, exist_ok=True)


def _missing(asked: Asked, failed: list[dict[str, str]], wanted: int) -> str:
    reasons = "".join(f"\n  {one['name']}: {one['reason']}" for one in failed[:MOST_SHOWN])
    more = f"\n  ... and {len(failed) - MOST_SHOWN} more, all in the log" if len(failed) > MOST_SHOWN else ""
    return (
        f"'{asked.name}': {len(failed)} of {wanted} could not be fetched; the others are in {asked.folder} "
        f"and stay: run again, or set datasets.{asked.name}.download.accept_missing{reasons}{more}"
    )
