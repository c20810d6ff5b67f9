"""Releases of PhysioNet from a server that asks for a password, knows agreements, and misbehaves."""

import hashlib
import json
import logging
import shutil
import traceback
from pathlib import Path

import pytest

from sightline.datasets import dataset
from sightline.download import physionet, run
from sightline.download.asked import Asked
from sightline.errors import ConfigError, DatasetError, DownloadError
from sightline.options import with_defaults
from sightline.running import jobs
from tests.unit.download_servers import PASSWORD, QUICK, USER, Releases, serving
from tests.unit.upstream_trees import FILMS, MIMIC, REFLACX, dicom, write_mimic, write_reflacx

# by hand from FILMS: labelled, PA or AP, the only such film of its study; film 7 because it was read
SELECTED = {0, 2, 3, 7, 8, 10}
READINGS = [
    {"phase": 1, "id": "P102R000001", "film": 2},
    {"phase": 1, "id": "P102R000002", "film": 7},
    {"phase": 3, "id": "P300R000003", "film": 8, "discarded": True},
]
PROJECTS = {
    "mimic-cxr-jpg": "https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
    "reflacx-xray-localization": "https://physionet.org/content/reflacx-xray-localization/1.0.0/",
}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NETRC", "/nonexistent")
    monkeypatch.setenv("SIGHTLINE_PHYSIONET_USER", USER)
    monkeypatch.setenv("SIGHTLINE_PHYSIONET_PASSWORD", PASSWORD)


def image(number: int) -> str:
    subject, study = FILMS[number][:2]
    return f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom(number)}.jpg"


@pytest.fixture
def releases(tmp_path):
    """Both releases on the server, every film with an image, and readme files that no study needs."""
    root = tmp_path / "server"
    mimic = write_mimic(root)
    write_reflacx(root, READINGS)
    for number in range(len(FILMS)):
        path = mimic / image(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"film {number}".encode() * 1000)
    (mimic / "IMAGE_FILENAMES").write_text("".join(f"{image(number)}\n" for number in range(len(FILMS))))
    (mimic / "mimic-cxr-2.0.0-negbio.csv.gz").write_bytes(b"a large table that is not read")
    (root / REFLACX / "gaze_data").mkdir()
    (root / REFLACX / "gaze_data/gaze.csv").write_text("large")
    found = Releases(root / "physionet.org/files")
    found.write_sums()
    return found


@pytest.fixture
def server(releases):
    with serving(releases) as found:
        found.password = PASSWORD
        yield found


def asked(folder: Path, gaze: bool = True, **options: object) -> Asked:
    annotations = {"reflacx": with_defaults("sightline.datasets.reflacx", {}, "here")} if gaze else {}
    adapter = with_defaults("sightline.datasets.mimic_cxr", options, "here")
    return Asked("cxr", folder, "mimic_cxr", adapter, annotations)


def download(server, folder: Path, accept_missing: bool = False, gaze: bool = True, **options) -> dict:
    chosen = with_defaults("sightline.download.physionet", {"url": f"{server.url}/files"} | options, "here")
    return run.download(asked(folder, gaze), "physionet", chosen, accept_missing, QUICK)


def films(folder: Path) -> set[int]:
    """The films whose image is there."""
    return {number for number in range(len(FILMS)) if (folder / MIMIC / image(number)).is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.is_file() and ".part" in path.name]


def test_only_what_the_study_needs_is_fetched_and_it_is_read(server, releases, tmp_path):
    folder = tmp_path / "data"
    record = download(server, folder)
    assert films(folder) == SELECTED and leftovers(folder) == []
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in names if "negbio" in name or "gaze_data" in name or "transcript" in name]
    for name in names:
        if not name.startswith(".") and not name.endswith("SHA256SUMS.txt"):
            there = releases.root.parent.parent / name
            assert (folder / name).read_bytes() == there.read_bytes(), name
    listed = {row["path"]: row["sha256"] for row in record["files"]}
    assert set(listed) == {name for name in names if "/." not in f"/{name}"}
    assert listed[f"{MIMIC}/{image(7)}"] == hashlib.sha256(b"film 7" * 1000).hexdigest()
    read = dataset.read("cxr", folder, "mimic_cxr", asked(folder).adapter_options, asked(folder).annotations)
    assert set(read.images["image"]) == {dicom(number) for number in SELECTED}
    assert len(read.readings) == 2 and set(read.boxes["kind"]) == {"chest"}
    assert all((folder / path).is_file() for path in read.images["path"])


def test_tables_come_first_and_every_file_once(server, tmp_path):
    download(server, tmp_path / "data")
    order = [path for path, _ in server.asked]
    assert len(order) == len(set(order))
    kinds = ["jpg" if path.endswith(".jpg") else "table" for path in order]
    assert kinds == sorted(kinds, reverse=True) and kinds.count("jpg") == len(SELECTED)


def test_a_second_run_asks_nobody_and_needs_no_password(server, tmp_path, monkeypatch):
    first = download(server, tmp_path / "data")
    count = len(server.asked)
    monkeypatch.delenv("SIGHTLINE_PHYSIONET_USER")
    monkeypatch.delenv("SIGHTLINE_PHYSIONET_PASSWORD")
    assert download(server, tmp_path / "data") == first and len(server.asked) == count


def test_what_physionets_own_command_brought_is_kept(server, releases, tmp_path):
    shutil.copytree(releases.root, tmp_path / "data/physionet.org/files")
    download(server, tmp_path / "data")
    assert server.asked == []


def test_one_damaged_image_is_fetched_anew(server, tmp_path):
    folder = tmp_path / "data"
    download(server, folder)
    (folder / MIMIC / image(2)).write_bytes(b"damaged")
    count = len(server.asked)
    download(server, folder)
    assert [path for path, _ in server.asked[count:]] == [f"/{MIMIC.partition('/')[2]}/{image(2)}"]
    assert (folder / MIMIC / image(2)).read_bytes() == b"film 2" * 1000


def test_a_server_that_misbehaves_is_asked_again(server, tmp_path):
    server.mishaps = {
        "SHA256SUMS.txt": [("status", 500, {}), ("cut", 30)],
        "metadata.csv.gz": [("body", b"not the table")],
        dicom(2): [("status", 429, {"Retry-After": "0"}), ("reset", 1000)],
        dicom(3): [("cut", 1500), ("whole",)],
    }
    assert download(server, tmp_path / "data")["failed"] == []
    assert films(tmp_path / "data") == SELECTED and leftovers(tmp_path / "data") == []


def test_an_ended_download_goes_on_without_what_it_has(server, tmp_path):
    folder = tmp_path / "data"
    server.mishaps = {dicom(8): [("cut", 500)] * QUICK.attempts}
    with pytest.raises(DownloadError, match="1 of .* could not be fetched"):
        download(server, folder)
    assert films(folder) == SELECTED - {8}
    count = len(server.asked)
    download(server, folder)
    assert films(folder) == SELECTED and len(server.asked) == count + 1


def test_a_missing_image_is_listed_and_the_rest_goes_on(server, releases, tmp_path):
    (releases.root / MIMIC.partition("files/")[2] / image(3)).unlink()
    folder = tmp_path / "data"
    with pytest.raises(DownloadError) as caught:
        download(server, folder)
    assert "404" in str(caught.value) and dicom(3) in str(caught.value)
    assert films(folder) == SELECTED - {3}
    record = download(server, folder, accept_missing=True)
    assert [Path(row["name"]).stem for row in record["failed"]] == [dicom(3)]
    assert not [row for row in record["files"] if dicom(3) in row["path"]]


def test_an_image_that_the_release_does_not_list_is_not_asked_for(server, releases, tmp_path):
    mimic = releases.root / MIMIC.partition("files/")[2]
    names = (mimic / "IMAGE_FILENAMES").read_text()
    (mimic / "IMAGE_FILENAMES").write_text(names.replace(f"{image(0)}\n", ""))
    releases.write_sums()
    record = download(server, tmp_path / "data", accept_missing=True)
    assert [row["reason"] for row in record["failed"]] == ["not in the release's IMAGE_FILENAMES"]
    assert server.count(dicom(0)) == 0
    sums = (mimic / "SHA256SUMS.txt").read_text().splitlines(keepends=True)
    (mimic / "SHA256SUMS.txt").write_text("".join(line for line in sums if dicom(2) not in line))
    record = download(server, tmp_path / "other", accept_missing=True)
    assert {row["reason"] for row in record["failed"]} == {
        "not in the release's IMAGE_FILENAMES",
        "not in the release's SHA256SUMS.txt",
    }


def test_a_first_try_takes_some_of_each_split_and_what_is_evaluated_first(server, tmp_path):
    download(server, tmp_path / "data", max_images=3)
    found = films(tmp_path / "data")
    # train: 0 or 3; validate: 10; test: 2 and 7 are evaluated, 8 is not
    assert len(found) == 3 and len(found & {0, 3}) == 1 and 10 in found and len(found & {2, 7}) == 1


def test_tables_that_cannot_be_had_end_it(server, tmp_path):
    server.mishaps = {"chexpert": [("status", 404, {})]}
    with pytest.raises(DownloadError, match="chexpert.*404"):
        download(server, tmp_path / "data", gaze=False)
    assert server.count(".jpg") == 0


def test_a_page_in_place_of_the_checksums_is_named(server, releases, tmp_path):
    (releases.root / MIMIC.partition("files/")[2] / "SHA256SUMS.txt").write_text(
        "<!doctype html>\n<p>Log in</p>\n"
    )
    with pytest.raises(DatasetError, match="SHA256SUMS.txt: line 1.*login page"):
        download(server, tmp_path / "data", gaze=False)


def test_lines_of_checksums(tmp_path):
    path = tmp_path / "SHA256SUMS.txt"
    path.write_text(f"{'a' * 64} files/p10/a b.jpg\n{'B' * 64}  x.csv\n{'c' * 64} *./y.csv\n\n")
    assert physionet.read_sums(path) == {"files/p10/a b.jpg": "a" * 64, "x.csv": "b" * 64, "y.csv": "c" * 64}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{MIMIC}/files/p10/x.jpg", ("mimic-cxr-jpg", "2.1.0", MIMIC)),
        ("reflacx-xray-localization/1.0.0/main_data/a.csv", ("reflacx-xray-localization", "1.0.0", None)),
    ],
)
def test_the_release_of_a_file(name, expected):
    project = physionet.project_of(name)
    assert (project.slug, project.version) == expected[:2]
    assert project.folder == (expected[2] or f"{expected[0]}/{expected[1]}")


def test_a_folder_of_another_form_is_refused(server, tmp_path):
    with pytest.raises(ConfigError, match="<project>/<version>"):
        physionet.project_of("images.csv")


# ---- access


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ["401", "are missing", "SIGHTLINE_PHYSIONET_USER", "netrc", "machine physionet.org"]),
        ({"USER": USER, "PASSWORD": "a-wrong-secret"}, ["401", "does not know this user with this password"]),
    ],
)
def test_401_says_how_to_give_a_password(server, tmp_path, monkeypatch, given, said):
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"SIGHTLINE_PHYSIONET_{name}")
    for name, value in given.items():
        monkeypatch.setenv(f"SIGHTLINE_PHYSIONET_{name}", value)
    with pytest.raises(DownloadError) as caught:
        download(server, tmp_path / "data")
    assert all(words in str(caught.value) for words in said)
    assert "a-wrong-secret" not in str(caught.value) and USER not in str(caught.value)
    assert len(server.asked) <= 2  # one for each release, and no more


@pytest.mark.parametrize("closed", [["mimic-cxr-jpg"], ["reflacx-xray-localization"], list(PROJECTS)])
def test_403_names_every_agreement_that_is_missing(server, tmp_path, closed):
    server.closed_to_all = set(closed)
    with pytest.raises(DownloadError) as caught:
        download(server, tmp_path / "data")
    said = str(caught.value)
    for project, page in PROJECTS.items():
        assert (page in said) == (project in closed)
    for words in ("403", "training", "sign the data use agreement", "Credentialed Health Data Use Agreement"):
        assert words in said
    assert server.count(".jpg") == 0 and len(server.asked) <= 2


def test_403_in_the_midst_ends_it_at_once_and_keeps_what_came(server, tmp_path):
    server.closed_to_all = {"/files/p10/"}
    with pytest.raises(DownloadError, match="mimic-cxr-jpg 2.1.0.*403"):
        download(server, tmp_path / "data")
    assert server.count(".jpg") <= QUICK.workers * 2
    assert (tmp_path / "data" / MIMIC / "mimic-cxr-2.0.0-split.csv.gz").is_file()


def test_the_agent_is_one_that_physionet_asks_for_a_password(server, tmp_path):
    download(server, tmp_path / "data", gaze=False)
    assert all(headers["user-agent"].startswith("Wget/") for _, headers in server.asked)


def test_what_is_open_needs_no_password(server, tmp_path, monkeypatch):
    server.password = None
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"SIGHTLINE_PHYSIONET_{name}")
    assert download(server, tmp_path / "data", gaze=False)["failed"] == []
    assert not any("authorization" in headers for _, headers in server.asked)


def test_netrc_serves_as_well(server, tmp_path, monkeypatch):
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"SIGHTLINE_PHYSIONET_{name}")
    netrc = tmp_path / "netrc"
    server.password = "plain-secret"
    netrc.write_text(f"machine 127.0.0.1\nlogin {USER}\npassword plain-secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert download(server, tmp_path / "data", gaze=False)["failed"] == []


@pytest.mark.parametrize("trouble", ["none", "401", "403", "redirect", "broken", "bug"])
def test_secrets_are_in_no_text_whatever_happens(server, tmp_path, monkeypatch, capfd, caplog, trouble):
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "data"
    with serving(lambda path, query: b"elsewhere") as other:
        if trouble == "401":
            server.password = "another"
        if trouble == "403":
            server.closed_to_all = {"mimic"}
        if trouble == "redirect":
            server.mishaps = {"SHA256SUMS": [("to", f"{other.url}/a")] * 9}
        if trouble == "broken":
            server.mishaps = {".jpg": [("status", 500, {}), ("reset", 10), ("cut", 10)] * 30}
        if trouble == "bug":
            monkeypatch.setattr(run.Ledger, "files", lambda *arguments: 1 / 0)
        said = ""
        try:
            with jobs.recorded([], [tmp_path / "out.json"], {"source": "physionet"}, tmp_path / "job.log"):
                (tmp_path / "out.json").write_text(json.dumps(download(server, folder, gaze=False)))
        except SystemExit as error:
            said = "".join(traceback.format_exception(error))
        assert not any("authorization" in headers for _, headers in other.asked)
    assert (trouble == "none") == (said == "") and any(
        "authorization" in headers for _, headers in server.asked
    )
    shown = capfd.readouterr()
    texts = [said, shown.out, shown.err, caplog.text]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "server" not in path.parts]
    assert tmp_path / "job.log" in written
    encoded = server.asked[0][1]["authorization"].removeprefix("Basic ")
    for secret in (PASSWORD, USER, PASSWORD.split(":")[0], encoded):
        assert not any(secret in text for text in texts)
        assert [path for path in written if secret.encode() in path.read_bytes()] == []
