"""Releases of PhysioNet: the tables that a study reads, then the images that it selects by them, no others.

Files keep the place that PhysioNet's own download command gives them (`physionet.org/files/<project>/
<version>/...`), and each is held against the release's SHA256SUMS.txt. User and password come from
SIGHTLINE_PHYSIONET_USER and SIGHTLINE_PHYSIONET_PASSWORD or from netrc, never from the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from sightline import addresses
from sightline.datasets import upstream
from sightline.download import credentials, fetching, web
from sightline.download.asked import Asked, Found
from sightline.errors import ConfigError, DatasetError, DownloadError

OPTIONS = {
    "url": {
        "type": "string",
        "default": "https://physionet.org/files",
        "description": "Address below which the projects lie. Another host than physionet.org needs its own "
        "entry in netrc.",
    },
    "max_images": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "description": "For a first try: how many of the study's images to fetch, shared evenly among the "
        "splits, evaluated ones first. The others are missing when the study prepares them "
        "(limits.max_skipped).",
    },
}

HOME, PREFIX = "physionet.org", "SIGHTLINE_PHYSIONET"
# PhysioNet asks for a password only those programs that it knows as downloaders; any other is answered 403
# (MIT-LCP/physionet-build, issue 1434)
AGENT = "Wget/1.21 (compatible; Sightline)"
SUMS, NAMES = "SHA256SUMS.txt", "IMAGE_FILENAMES"
AGREEMENTS = {
    "mimic-cxr-jpg": "PhysioNet Credentialed Health Data Use Agreement 1.5.0",
    "reflacx-xray-localization": "PhysioNet Credentialed Health Data Use Agreement 1.5.0",
}
OPEN = {"chexmask-cxr-segmentation-data"}


@dataclass(frozen=True)
class Project:
    """A release: its name and version, and its folder below the dataset's."""

    slug: str
    version: str
    folder: str

    @property
    def page(self) -> str:
        """The page on which its agreement is signed."""
        return f"https://{HOME}/content/{self.slug}/{self.version}/"


def project_of(name: str) -> Project:
    """The release that the file `name`, `.../<project>/<version>/...` below the dataset's folder, is of.

    Raises `ConfigError` where the path has no such part.
    """
    found = re.match(r"((?:.*/)?([a-z0-9][a-z0-9-]*)/([0-9]+(?:\.[0-9]+)*))/.+", name)
    if found is None:
        raise ConfigError(
            f"config: {name}: no file of PhysioNet's; its folder must end in <project>/<version>, as "
            "physionet.org/files/mimic-cxr-jpg/2.1.0"
        )
    return Project(found[2], found[3], found[1])


def fetch(asked: Asked, session: fetching.Session, url: str, max_images: int | None) -> Found:
    """Bring the tables, the files of single readings, then the images that the adapter selects.

    Raises `DownloadError` where a table cannot be had: without it nothing can be selected.
    """
    release = _Releases(asked, session, url)
    tables = [_below(asked, path) for path in asked.sources()]
    _need(release.bring(tables, "tables"), asked)
    readings = [name for name in release.listed(_below(asked, path) for path in asked.readings())]
    failed = release.bring(readings, "files of readings")
    selected = asked.read().images
    images = list((selected if max_images is None else _first(selected, max_images))["path"].unique())
    for name in images:
        upstream.inside(asked.folder, name, f"images of '{asked.name}'")
    absent = release.unlisted_images(images)
    failed |= absent
    failed |= release.bring([name for name in images if name not in absent], "images")
    wanted = [*release.lists, *tables, *readings, *images]
    return Found([name for name in wanted if name not in failed], failed, len(wanted))


def _below(asked: Asked, path: Path) -> str:
    return path.relative_to(asked.folder).as_posix()


def _need(failed: dict[str, str], asked: Asked) -> None:
    if failed:
        lines = "".join(f"\n  {name}: {reason}" for name, reason in failed.items())
        raise DownloadError(
            f"'{asked.name}': {len(failed)} table(s) could not be fetched, so that nothing can be selected; "
            f"what came stays, run again{lines}"
        )


def _first(images: pd.DataFrame, most: int) -> pd.DataFrame:
    """`most` images, by turns from each split, evaluated ones first."""
    ordered = images.sort_values(["split", "evaluated", "image"], ascending=[True, False, True])
    return ordered.assign(turn=ordered.groupby("split").cumcount()).sort_values(["turn", "split"])[:most]


class _Releases:
    """The projects that a dataset's files belong to, and what their lists of checksums say."""

    def __init__(self, asked: Asked, session: fetching.Session, url: str):
        self.asked, self.session = asked, session
        url = addresses.checked(url)
        found = credentials.find(url, HOME, PREFIX)
        self.client = session.client(url, credentials=found, agent=AGENT)
        self._sums: dict[str, dict[str, str]] = {}
        self.lists: list[str] = []  # the files of checksums and of image names that were used

    def bring(self, names: Iterable[str], what: str) -> dict[str, str]:
        """Bring the files `names`; name -> reason of those that could not be had.

        Raises `DownloadError` where an agreement or the password is missing, for all projects at once.
        """
        names = list(names)
        self._load({project_of(name) for name in names})
        failed = {name: f"not in the release's {SUMS}" for name in names if self._digest(name) is None}
        tasks = {name: self._task(name, self._digest(name)) for name in names if name not in failed}
        try:
            return failed | self.session.all(tasks, what)
        except web.Denied as error:
            raise DownloadError(self._denied(_project_in(error, tasks), error)) from None

    def listed(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that their release lists."""
        names = list(names)
        self._load({project_of(name) for name in names})
        return [name for name in names if self._digest(name) is not None]

    def unlisted_images(self, images: list[str]) -> dict[str, str]:
        """The images that their release's IMAGE_FILENAMES lacks, where it has one, with the reason."""
        failed: dict[str, str] = {}
        for project in sorted({project_of(name) for name in images}, key=lambda one: one.folder):
            name = f"{project.folder}/{NAMES}"
            self._load({project})
            if self._digest(name) is None:
                continue
            _need(self.bring([name], "list of images"), self.asked)
            self.lists.append(name)
            present = set((self.session.folder / name).read_text(encoding="utf-8").split("\n"))
            start = len(project.folder) + 1
            mine = [one for one in images if one.startswith(f"{project.folder}/")]
            failed |= {one: f"not in the release's {NAMES}" for one in mine if one[start:] not in present}
        return failed

    def _load(self, projects: set[Project]) -> None:
        """Bring and read the checksums of `projects`; every project that denies access is named."""
        denied = []
        for project in sorted(projects, key=lambda one: one.folder):
            if project.folder in self._sums:
                continue
            name = f"{project.folder}/{SUMS}"
            try:
                failed = self.session.all({name: self._task(name, None)}, f"checksums of {project.slug}")
            except web.Denied as error:
                self.session.stop.clear()
                denied.append(self._denied(project, error))
                continue
            _need(failed, self.asked)
            self.lists.append(name)
            self._sums[project.folder] = read_sums(self.session.folder / name)
        if denied:
            raise DownloadError("\n".join(denied))

    def _digest(self, name: str) -> str | None:
        folder = project_of(name).folder
        return self._sums[folder].get(name[len(folder) + 1 :])

    def _task(self, name: str, digest: str | None) -> Callable[[], None]:
        project = project_of(name)
        rest = name[len(project.folder) + 1 :]
        url = f"{self.client.url}/{project.slug}/{project.version}/{quote(rest)}"
        return partial(fetching.file, self.session, self.client, url, name, digest)

    def _denied(self, project: Project, error: web.Denied) -> str:
        """What the user is to do about a 401 or 403."""
        at = f"{project.slug} {project.version}: {error}"
        if error.status == 401 and self.client.credentials is not None:
            return f"{at}. PhysioNet does not know this user with this password; correct them{WHERE}"
        if self.client.credentials is None:
            return f"{at}. User and password of your PhysioNet account are missing; set them{WHERE}"
        if project.slug in OPEN:
            return f"{at}. This release is open; the server refuses for a reason of its own: try again later"
        agreement = AGREEMENTS.get(project.slug, "its data use agreement")
        return (
            f"{at}. Your account has no access to this release. Signed in, open {project.page}: complete the "
            "required training (CITI 'Data or Specimens Only Research'), have your credentials approved, and "
            f"sign the data use agreement ({agreement}) at the foot of the page; then run again"
        )


WHERE = (
    f" in the environment ({PREFIX}_USER and {PREFIX}_PASSWORD) or in netrc (a line 'machine {HOME} "
    "login ... password ...')"
)


def _project_in(error: web.Denied, tasks: dict[str, object]) -> Project:
    """The project whose file was denied."""
    projects = {project_of(name) for name in tasks}
    named = [one for one in projects if f"/{one.slug}/{one.version}/" in str(error)]
    return named[0] if named else min(projects, key=lambda one: one.folder)


def read_sums(path: Path) -> dict[str, str]:
    """File (below the release's folder) -> SHA-256, of a `SHA256SUMS.txt`.

    Raises `DatasetError`, naming the line, where a line is not a digest and a path.
    """
    found = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            digest, _, name = line.strip().partition(" ")
            name = name.strip().removeprefix("*").removeprefix("./")
            if not re.fullmatch(r"[0-9a-fA-F]{64}", digest) or not name:
                if not line.strip():
                    continue
                raise DatasetError(
                    f"{path}: line {number}: '{line.strip()[:60]}', expected a SHA-256 and a path; delete "
                    "the file and run again (a proxy's or login page may have been saved in its place)"
                )
            found[name] = digest.lower()
    return found
