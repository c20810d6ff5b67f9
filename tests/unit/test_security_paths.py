"""Paths that a table, a folder or an archive holds lead nowhere but into the dataset, and to plain files."""

import io
import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from sightline import regions
from sightline.datasets import dataset, upstream
from sightline.download import archives, fetching, nbia, web
from sightline.errors import ConfigError, DatasetError
from sightline.options import with_defaults
from sightline.preparing import pictures, preparation
from tests.unit.download_servers import serving, session_in

FILM = np.random.default_rng(3).integers(0, 255, (24, 32), dtype=np.uint8)


def film(path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(FILM).save(path, **options)


@pytest.fixture
def places(tmp_path):
    """A dataset's folder, and a film outside that nothing may reach."""
    film(tmp_path / "outside/secret.png")
    film(tmp_path / "data/films/good.png")
    return tmp_path / "data", tmp_path / "outside"


# ---- links, pipes and devices


def link(path, outside):
    path.symlink_to(outside / "secret.png")


def chained(path, outside):
    path.with_name("between.png").symlink_to(outside / "secret.png")
    path.symlink_to("between.png")


def relative(path, outside):
    path.symlink_to("../../outside/secret.png")


def pipe(path, outside):
    os.mkfifo(path)


def device(path, outside):
    path.symlink_to("/dev/zero")


def folder(path, outside):
    path.mkdir()


def endless(path, outside):
    path.symlink_to(path.name)


def sparse(path, outside):
    with open(path, "wb") as file:
        file.truncate(upstream.MOST_BYTES + 1)


ODD = [link, chained, relative, pipe, device, folder, endless, sparse]
odd = pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)


@odd
def test_preparing_refuses_what_is_no_plain_file_of_the_dataset(places, make):
    root, outside = places
    make(root / "films/odd.png", outside)
    found = preparation.decode_image(
        preparation.Job("films/odd.png", FILM.shape, "explain"), root, [16], preparation.Preparation()
    )
    assert found.reason.startswith("films/odd.png: ") and not found.grids and not found.sha256


@odd
@pytest.mark.parametrize("adapter", ["tidy", "image_folder", "listed"])
def test_adapters_skip_what_is_no_plain_file_of_the_dataset(places, make, adapter):
    root, outside = places
    make(root / "films/odd.png", outside)
    table = "image,path,subject,split\ngood,films/good.png,p,train\nodd,films/odd.png,q,test\n"
    (root / "images.csv").write_text(table)
    if adapter == "tidy":
        options = with_defaults("sightline.datasets.tidy", {}, "here")
    else:
        listed = {"table": "images.csv", "columns": {"image": "path", "split": "split"}}
        options = with_defaults(
            "sightline.datasets.image_folder", listed if adapter == "listed" else {}, "here"
        )
    found = dataset.read("d", root, "tidy" if adapter == "tidy" else "image_folder", options, {})
    assert not found.images["path"].str.contains("odd").any() and len(found.images) == 1
    skipped = found.skipped[found.skipped["path"].str.contains("odd")]
    if make is folder and adapter == "image_folder":
        return  # a folder in a folder of pictures is no picture at all
    assert len(skipped) == 1 and skipped["stage"].item() == "read"


@odd
def test_masks_are_plain_files_of_the_dataset(places, make):
    root, outside = places
    make(root / "films/odd.png", outside)
    with pytest.raises(DatasetError, match="films/odd.png"):
        regions.read_mask("file", "films/odd.png", FILM.shape, root)


def test_folders_that_are_links_are_the_users(places):
    """Also links of a file within them, as tools of versioned data make."""
    root, outside = places
    (outside / "linked").mkdir()
    (outside / "linked/a.png").symlink_to("../secret.png")
    (root / "all").symlink_to(outside)
    assert upstream.plain_file(root, "all/secret.png", "here").read_bytes()
    assert upstream.plain_file(root, "all/linked/a.png", "here").read_bytes()
    with pytest.raises(DatasetError, match="leads out"):
        (root / "films/a.png").symlink_to(outside / "secret.png")
        upstream.plain_file(root, "films/a.png", "here")


def test_two_dots_behind_a_link_do_not_leave(places):
    """By its words `all/../x` is the folder's own x; the file system would take the link first."""
    root, outside = places
    (outside / "deep").mkdir()
    (root / "all").symlink_to(outside / "deep")
    with pytest.raises(ValueError, match="missing"):
        pictures.content("all/../secret.png", root)


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/", "//x", "../x", "a/../../x", "./../x", "a/\0", "a\n.png", "\x1b[2J.png", "\ud800.png"]
    + ["x" * 5000],
)
def test_paths_that_leave_or_are_none(tmp_path, path):
    with pytest.raises(DatasetError, match="row 7: path .* leaves the dataset's folder") as caught:
        upstream.inside(tmp_path, path, "row 7")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name",
    [
        "a b.png",
        "é.png",
        "e\u0301.png",
        "日本.png",
        "..png",
        "a..b/c.png",
        "\uff0e\uff0e/x.png",
        "...",
        "a\\b.png",
    ],
)
def test_names_that_are_only_unusual_are_read(tmp_path, name):
    film(tmp_path / name, format="png")
    assert pictures.content(name, tmp_path).bytes > 0


# ---- archives


def zipped(*members: tuple[str, int, bytes]) -> bytes:
    """A zip of (name, mode, content)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, mode, data in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr = name, mode << 16
            archive.writestr(info, data)
    return file.getvalue()


PLAIN = stat.S_IFREG | 0o644


@pytest.mark.parametrize(
    "members",
    [
        [("../out.dcm", PLAIN, b"x")],
        [("/out.dcm", PLAIN, b"x")],
        [("a/../../out.dcm", PLAIN, b"x")],
        [("..\\out.dcm", PLAIN, b"x")],
        [("C:out.dcm", PLAIN, b"x")],
        [("\\\\server\\share\\out.dcm", PLAIN, b"x")],
        [("out.dcm", stat.S_IFLNK | 0o777, b"../../out.dcm")],
        [("d", stat.S_IFLNK | 0o777, b"../.."), ("d/out.dcm", PLAIN, b"x")],
        [("out.dcm", stat.S_IFCHR | 0o666, b"")],
        [("out.dcm", stat.S_IFIFO | 0o666, b"")],
        [("a.dcm", PLAIN, b"x"), ("A.DCM", PLAIN, b"y")],
        [("\u00e9.dcm", PLAIN, b"x"), ("e\u0301.dcm", PLAIN, b"y")],
        [("stra\u00dfe.dcm", PLAIN, b"x"), ("STRASSE.dcm", PLAIN, b"y")],
        [("\ufb01lm.dcm", PLAIN, b"x"), ("film.dcm", PLAIN, b"y")],
        [("a\nb.dcm", PLAIN, b"x")],
        [("\x1b[2J.dcm", PLAIN, b"x")],
        [("x" * 300 + ".dcm", PLAIN, b"x")],
    ],
)
def test_members_of_archives_that_are_refused(tmp_path, members):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.zip").write_bytes(zipped(("good.dcm", PLAIN, b"good"), *members))
    with pytest.raises(web.Permanent, match="refused") as caught:
        archives.extract(tmp_path / "a.zip", tmp_path / "in", ".dcm", 1000)
    assert str(caught.value).isprintable()
    assert list((tmp_path / "in").iterdir()) == [] and {path.name for path in tmp_path.iterdir()} == {
        "in",
        "a.zip",
    }


def test_a_tar_is_no_archive_of_ours_whatever_it_holds(tmp_path):
    """Nothing here unpacks tar: its links and devices cannot be met."""
    with tarfile.open(tmp_path / "a.zip", "w") as archive:
        for name, kind, target in (("d", tarfile.SYMTYPE, "/"), ("z.dcm", tarfile.CHRTYPE, "")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    with pytest.raises(web.Temporary, match="damaged"):
        archives.extract(tmp_path / "a.zip", tmp_path, ".dcm", 1000)


def test_a_list_of_digests_with_a_huge_cell_is_damage(tmp_path):
    listed = ("md5hashes.csv", PLAIN, b"Filename,MD5Hash\na.dcm," + b"0" * 1_000_000)
    (tmp_path / "a.zip").write_bytes(zipped(("a.dcm", PLAIN, b"x"), listed))
    with pytest.raises(web.Temporary, match="field larger than field limit"):
        archives.extract(tmp_path / "a.zip", tmp_path, ".dcm", 10_000_000)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_a_server_names_no_file_outside_the_folder(tmp_path, name):
    with serving(lambda path, query: b"x") as server, session_in(tmp_path / "data") as session:
        with pytest.raises(web.Permanent, match="leaves the dataset's folder"):
            fetching.file(session, session.client(server.url), f"{server.url}/x", name, None)
        assert server.asked == []


@pytest.mark.parametrize("uid", ["..", "1..2", ".1", "1", "1.2/3", "1.2\n"])
def test_a_series_that_is_no_uid(uid, tmp_path):
    with pytest.raises(ConfigError):
        with_defaults("sightline.download.nbia", {"series": [uid]}, "here")
    (tmp_path / "a.tcia").write_text(f"ListOfSeriesToDownload=\n1.2.3\n{uid}x\n")
    with pytest.raises(DatasetError, match="line"):
        nbia.read_manifest(tmp_path / "a.tcia")


def test_a_table_of_series_with_a_huge_cell_is_named(tmp_path):
    from sightline.download import upstream_tables
    from sightline.errors import DownloadError

    (tmp_path / "a.csv").write_text("image file path\n" + "x" * 1_000_000 + "\n")
    with (
        open(tmp_path / "a.csv", newline="") as file,
        pytest.raises(DownloadError, match="a.csv: not a readable"),
    ):
        list(upstream_tables._rows(tmp_path / "a.csv", file))
