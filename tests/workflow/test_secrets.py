"""A download with a password, as a user would run it: what it leaves and what it starts hold none of it."""

import base64
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.unit.download_servers import PASSWORD, USER, Releases, serving
from tests.unit.upstream_trees import FILMS, dicom, write_mimic
from tests.workflow.conftest import copy_project

RECORD = "results/secret/downloads/cxr.json"
MARKS = [
    text.encode()
    for text in (USER, PASSWORD, quote(PASSWORD), base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
]


def released(root: Path) -> Releases:
    """MIMIC-CXR-JPG on the server, every film with a file."""
    mimic = write_mimic(root)
    for number, (subject, study, *_) in enumerate(FILMS):
        path = mimic / f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom(number)}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film" * 500)
    found = Releases(root / "physionet.org/files")
    found.write_sums()
    return found


def descendants(first: int) -> set[int]:
    """The process `first` and all that it started, directly or not."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found, grown = set(), {first}
    while grown:
        found |= grown
        grown = {one for one, parent in parents.items() if parent in found} - found
    return found


def command_lines(first: int) -> set[bytes]:
    lines = set()
    for process in descendants(first):
        try:
            lines.add(Path(f"/proc/{process}/cmdline").read_bytes())
        except OSError:
            continue
    return lines


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("way", ["environment", "netrc, refused"])
def test_no_secret_in_what_a_download_leaves_or_starts(tmp_path, way):
    project = copy_project(tmp_path / "project")
    environment = os.environ | {"no_proxy": "*", "OMP_NUM_THREADS": "1", "NETRC": str(tmp_path / "netrc")}
    environment = {name: value for name, value in environment.items() if "SIGHTLINE" not in name}
    if way == "environment":
        environment |= {"SIGHTLINE_PHYSIONET_USER": USER, "SIGHTLINE_PHYSIONET_PASSWORD": PASSWORD}
    else:
        (tmp_path / "netrc").write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
        (tmp_path / "netrc").chmod(0o600)
    with serving(released(tmp_path / "server")) as server:
        server.password = PASSWORD if way == "environment" else "another"
        server.mishaps = {
            "SHA256SUMS": [("status", 503, {})],
            "chexpert": [("slow", 200, 0.1), ("reset", 40)],
        }
        download = {"from": "physionet", "url": f"{server.url}/files", "max_images": 3}
        study = {
            "study": "secret",
            "datasets": {"cxr": {"adapter": {"name": "mimic_cxr"}, "download": download}},
        }
        (project.folder / "study.yaml").write_text(yaml.safe_dump(study))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "1",
            "--configfile",
            "study.yaml",
            "--verbose",
        ]
        with open(project.folder / "said.txt", "w") as said:
            run = subprocess.Popen(
                [*command, "--printshellcmds", RECORD],
                cwd=project.folder,
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            started = set()
            while run.poll() is None:
                started |= command_lines(run.pid)
                time.sleep(0.1)
        sent = [headers["authorization"] for _, headers in server.asked if "authorization" in headers]
    assert MARKS[-1].decode() in sent[0]  # the password was used
    assert (run.returncode == 0) == (way == "environment") == (project.folder / RECORD).exists()
    assert any(b"download" in line for line in started)  # the job's own process was seen
    assert [line for line in started if any(mark in line for mark in MARKS)] == []
    files = [path for path in project.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".log" for path in files)
    assert [path for path in files if any(mark in path.read_bytes() for mark in MARKS)] == []
