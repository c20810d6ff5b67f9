"""Series from an archive that speaks NBIA's interface and misbehaves."""

import errno
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from sightline.download import archives, nbia, run, web
from sightline.download.asked import Asked
from sightline.errors import ConfigError, DatasetError, DownloadError
from sightline.options import with_defaults
from tests.unit.download_servers import QUICK, Archive, dicom, serving, zipped

FULL, CROP, OTHER = "1.3.6.1.4.1.9590.1", "1.3.6.1.4.1.9590.2", "1.3.6.1.4.1.9590.3"
TABLE = "mass_case_description_train_set.csv"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def archive():
    film, second = "Mass-Training_P_00001_LEFT_CC", "Calc-Test_P_00002_RIGHT_MLO"
    return Archive(
        {
            FULL: (film, "full mammogram images", [dicom(FULL)]),
            CROP: (f"{film}_1", "ROI mask images", [dicom(CROP, 1), dicom(CROP, 2)]),
            OTHER: (second, "full mammogram images", [dicom(OTHER)]),
        }
    )


@pytest.fixture
def server(archive):
    with serving(archive) as found:
        yield found


def asked(place: Path, adapter: str = "tidy", **options: object) -> Asked:
    chosen = with_defaults(f"sightline.datasets.{adapter}", options, "here")
    return Asked("breasts", place, adapter, chosen, {})


def download(
    server, folder: Path, accept_missing: bool = False, manners=QUICK, request=None, **options
) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    if request is None:
        request = asked(folder)
        (folder / "images.csv").write_text("image,path,subject,split\n")
    chosen = with_defaults("sightline.download.nbia", {"url": f"{server.url}/v1"} | options, "here")
    return run.download(request, "nbia", chosen, accept_missing, manners)


def content(folder: Path) -> dict[str, str]:
    """Every file but the table and the records, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".csv" and not path.name.startswith((".sightline", ".nbia"))
    }


def digests(archive: Archive, *series: str) -> dict[str, str]:
    return {
        f"{uid}/1-{number}.dcm": hashlib.sha256(data).hexdigest()
        for uid in series
        for number, data in enumerate(archive.series[uid][2], 1)
    }


def test_series_land_in_their_folders_and_the_record_lists_them(server, archive, tmp_path):
    record = download(server, tmp_path, series=[FULL, CROP])
    assert content(tmp_path) == digests(archive, FULL, CROP)  # no LICENSE, nothing temporary
    listed = {row["path"]: row["sha256"] for row in record["files"] if row["path"].endswith(".dcm")}
    assert listed == digests(archive, FULL, CROP) and record["failed"] == []
    assert {row["path"] for row in record["files"]} - set(listed) == {"images.csv"}
    assert record["asked"]["from"] == "nbia" and record["asked"]["options"]["series"] == [FULL, CROP]


def test_a_second_run_asks_nobody_and_says_the_same(server, tmp_path):
    first = download(server, tmp_path, kinds=["Mass"])
    count = len(server.asked)
    assert download(server, tmp_path, kinds=["Mass"]) == first
    assert len(server.asked) == count


def test_a_file_that_was_lost_or_damaged_brings_its_series_again_and_no_other(server, archive, tmp_path):
    download(server, tmp_path, series=[FULL, CROP])
    (tmp_path / CROP / "1-2.dcm").write_bytes(b"damaged")
    download(server, tmp_path, series=[FULL, CROP])
    assert content(tmp_path) == digests(archive, FULL, CROP)
    (tmp_path / CROP / "1-1.dcm").unlink()
    download(server, tmp_path, series=[FULL, CROP])
    assert content(tmp_path) == digests(archive, FULL, CROP)
    assert server.count(f"getImage?SeriesInstanceUID={FULL}") == 1
    assert server.count(f"getImage?SeriesInstanceUID={CROP}") == 3


def test_what_the_user_has_already_is_looked_at_and_kept(server, archive, tmp_path):
    for uid in (FULL, CROP):
        (tmp_path / uid).mkdir()
        for number, data in enumerate(archive.series[uid][2], 1):
            (tmp_path / uid / f"0000000{number}.dcm").write_bytes(data)
    download(server, tmp_path, series=[FULL, CROP])
    assert server.count("getImage?") == 0
    assert {Path(name).name for name in content(tmp_path)} == {"00000001.dcm", "00000002.dcm"}


def test_foreign_files_in_a_series_folder_are_not_touched(server, tmp_path):
    (tmp_path / FULL).mkdir()
    (tmp_path / FULL / "mine.dcm").write_bytes(dicom(OTHER))
    with pytest.raises(DownloadError, match="mine.dcm.*move them away"):
        download(server, tmp_path, series=[FULL])
    assert (tmp_path / FULL / "mine.dcm").read_bytes() == dicom(OTHER)


def test_a_truncated_archive_is_fetched_again(server, archive, tmp_path):
    whole = zipped({"1-1.dcm": archive.series[FULL][2][0]})
    server.mishaps["getImage?"] = [("body", whole[: len(whole) // 2]), ("body", whole[:-10]), ("body", b"")]
    download(server, tmp_path, series=[FULL])
    assert content(tmp_path) == digests(archive, FULL) and server.count("getImage?") == 4


def test_a_transfer_that_broke_off_goes_on(server, archive, tmp_path):
    server.mishaps["getImage?"] = [("cut", 100), ("reset", 100)]
    download(server, tmp_path, series=[FULL])
    assert content(tmp_path) == digests(archive, FULL)
    ranges = server.ranges("getImage?")
    assert ranges[:2] == [None, "bytes=100-"] and len(ranges) == 3


def test_two_halves_of_different_archives_are_not_taken_for_one(server, archive, tmp_path):
    server.etags = False  # the archive is made anew for each request, and has no version
    other = zipped({"1-1.dcm": archive.series[FULL][2][0]}, licence=False)
    server.mishaps["getImage?"] = [("cut", 100), ("body", other)]
    download(server, tmp_path, series=[FULL])
    assert content(tmp_path) == digests(archive, FULL)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"1-1.dcm": dicom(OTHER)}, "is of series"),
        ({"1-1.dcm": dicom(FULL), "1-2.dcm": dicom(FULL, 2)}, "2 images came"),
        ({}, "0 images came"),
        ({"1-1.dcm": b"no DICOM at all"}, "1-1.dcm"),
        ({"1-1.dcm": dicom(FULL, 1, PatientComments="longer")}, "bytes came"),
    ],
)
def test_another_series_count_or_size_is_refused_and_asked_for_again(
    server, archive, tmp_path, wrong, said, capfd
):
    if said == "1-1.dcm":
        archive.sizes = False
    if said == "is of series":
        assert len(dicom(OTHER)) == len(dicom(FULL))
    server.mishaps["getImage?"] = [("body", zipped(wrong))]
    download(server, tmp_path, series=[FULL])
    assert content(tmp_path) == digests(archive, FULL) and said in capfd.readouterr().err
    archive.archives[CROP] = zipped(wrong)
    with pytest.raises(DownloadError, match=CROP):
        download(server, tmp_path, series=[FULL, CROP])
    assert not (tmp_path / CROP).exists() and content(tmp_path) == digests(archive, FULL)


def test_sizes_may_be_left_unchecked(server, archive, tmp_path):
    archive.archives[FULL] = zipped({"1-1.dcm": dicom(FULL, 1, PatientComments="longer")})
    download(server, tmp_path, series=[FULL], check_sizes=False)
    assert list(content(tmp_path)) == [f"{FULL}/1-1.dcm"]


def test_digests_of_the_archive_are_held_against_its_files(server, archive, tmp_path):
    bad = {"1-1.dcm": dicom(FULL), "md5hashes.csv": b"Filename,MD5Hash\n1-1.dcm," + b"0" * 32 + b"\n"}
    server.mishaps["getImageWithMD5Hash"] = [("body", zipped(bad))]
    download(server, tmp_path, series=[FULL], checksums=True)
    assert server.count("getImageWithMD5Hash") == 2 and content(tmp_path) == digests(archive, FULL)


@pytest.mark.parametrize("status", [500, 429, 503])
def test_every_call_is_tried_again(server, archive, tmp_path, status):
    for call in ("getSeries?", "getSeriesMetaData", "getImage?"):
        server.mishaps[call] = [("status", status, {"Retry-After": "0"})]
    download(server, tmp_path, kinds=["Mass"])
    assert content(tmp_path) == digests(archive, FULL, CROP)


def test_what_fails_is_listed_and_the_rest_goes_on(server, archive, tmp_path, capfd):
    archive.archives[FULL] = b"never a zip"
    with pytest.raises(DownloadError) as caught:
        download(server, tmp_path, series=[FULL, CROP, "1.2.3"])
    said = str(caught.value)
    assert "2 of 3 could not be fetched" in said and FULL in said and "knows no such series" in said
    assert "accept_missing" in said and content(tmp_path) == digests(archive, CROP)
    assert "missing: 1.2.3" in capfd.readouterr().err
    record = download(server, tmp_path, series=[FULL, CROP, "1.2.3"], accept_missing=True)
    assert [row["name"] for row in record["failed"]] == ["1.2.3", FULL]
    assert server.count(f"getImage?SeriesInstanceUID={CROP}") == 1


# ---- archives that are not what they should be


def hostile(name: str, mode: int = 0, data: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.filename, info.external_attr = name, mode << 16
        archive.writestr(info, data)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        hostile("../out.dcm"),
        hostile("/etc/out.dcm"),
        hostile("a/../../out.dcm"),
        hostile("..\\out.dcm"),
        hostile("C:\\out.dcm"),
        hostile("link.dcm", 0o120777, b"../../out.dcm"),
        zipped({"a/1-1.dcm": dicom(FULL), "b/1-1.dcm": dicom(FULL)}),
    ],
    ids=["above", "absolute", "inside out", "backslash", "drive", "link", "same name"],
)
def test_an_archive_that_would_leave_its_folder_is_refused_at_once(server, archive, tmp_path, data):
    archive.archives[FULL] = data
    with pytest.raises(DownloadError, match="refused"):
        download(server, tmp_path / "data", series=[FULL])
    assert server.count("getImage?") == 1 and content(tmp_path / "data") == {}
    assert not list(tmp_path.glob("**/out.dcm")) and not list(tmp_path.parent.glob("out.dcm"))


def test_a_bomb_is_refused_before_it_is_unpacked(server, archive, tmp_path):
    archive.archives[FULL] = zipped({"1-1.dcm": bytes(30_000_000)})
    with pytest.raises(DownloadError, match="most_series_gb"):
        download(server, tmp_path, series=[FULL], most_series_gb=0.01)
    assert server.count("getImage?") == 1 and content(tmp_path) == {}


def test_a_file_that_is_longer_than_the_archive_says_is_damaged(tmp_path):
    data = bytearray(zipped({"1-1.dcm": bytes(100_000)}, licence=False))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(web.Temporary):
        archives.extract(tmp_path / "a.zip", tmp_path, ".dcm", 10_000)
    assert (tmp_path / "1-1.dcm").stat().st_size <= 1000


def test_a_server_that_never_ends_is_left(server, tmp_path):
    server.mishaps["getImage?"] = [("body", bytes(2_000_000))]
    with pytest.raises(DownloadError, match="sends more than"):
        download(server, tmp_path, series=[FULL], most_series_gb=0.001)
    assert content(tmp_path) == {}


# ---- which series


@pytest.mark.parametrize(
    ("chosen", "series"),
    [
        ({}, [FULL, CROP, OTHER]),
        ({"kinds": ["Mass"]}, [FULL, CROP]),
        ({"kinds": ["Calc-Test", "Calc-Training"]}, [OTHER]),
        ({"patients": ["Mass-Training_P_00001"]}, [FULL, CROP]),
        ({"patients": ["Mass-Training_P_00001_LEFT_CC_1"]}, [CROP]),
        ({"descriptions": ["full mammogram images"]}, [FULL, OTHER]),
        ({"kinds": ["Mass"], "max_images": 1}, [FULL, CROP]),  # a film without its regions is of no use
        ({"max_images": 3}, [OTHER]),  # Calc comes first; the next film and its regions are three more
        ({"max_images": 4}, [FULL, CROP, OTHER]),
    ],
)
def test_a_subset_is_named_in_the_configuration(server, archive, tmp_path, chosen, series):
    download(server, tmp_path, **chosen)
    assert content(tmp_path) == digests(archive, *sorted(series))


def test_a_patient_whose_number_begins_alike_is_another(server, tmp_path):
    with pytest.raises(DownloadError, match="no series .* passes"):
        download(server, tmp_path, patients=["Mass-Training_P_0000"])


def test_a_manifest_names_series(server, archive, tmp_path):
    manifest = tmp_path / "some.tcia"
    head = "downloadServerUrl=https://a/b\nincludeAnnotation=true\nnoOfrRetry=4\ndatabasketId=m.tcia\n"
    head += "manifestVersion=3.0\nListOfSeriesToDownload=\n"
    manifest.write_text(head + f"{OTHER}\r\n{FULL}\n\n{OTHER}\n9.9.9\n")
    record = download(server, tmp_path / "data", accept_missing=True, manifest=str(manifest), kinds=["Calc"])
    assert content(tmp_path / "data") == digests(archive, OTHER)
    assert [(row["name"], "no such series" in row["reason"]) for row in record["failed"]] == [("9.9.9", True)]
    for text, said in ((head + "../../etc\n", "line 7"), ("1.2.3\n", "ListOfSeriesToDownload")):
        manifest.write_text(text)
        with pytest.raises(DatasetError, match=said):
            nbia.read_manifest(manifest)


def test_the_real_manifest_is_read(real):
    manifest = next((real / "cbis_ddsm_tables").glob("*.tcia"))
    series = nbia.read_manifest(manifest)
    assert len(series) == len(set(series)) == 6775


@pytest.mark.parametrize("answer", [{"error": "later"}, ["later"], None, 5, [{"SeriesInstanceUID": None}]])
def test_a_list_of_series_that_is_none_is_said(server, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(web.Client, "json", lambda client, url: answer)
    with pytest.raises(DownloadError, match="lists no series of a collection 'CBIS-DDSM'"):
        download(server, tmp_path, max_images=1)


def test_an_unknown_collection_and_a_closed_one(server, tmp_path):
    with pytest.raises(DownloadError, match="no series of a collection 'CBIS'"):
        download(server, tmp_path, collection="CBIS")
    server.closed_to_all = {"getImage"}
    with pytest.raises(DownloadError, match="403.*not public"):
        download(server, tmp_path, series=[FULL])


# ---- the tables of CBIS-DDSM

HEAD = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path\n"
)


def write_tables(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    film = "Mass-Training_P_00001_LEFT_CC"
    row = (
        f"P_00001,3,LEFT,CC,1,mass,OVAL,SPICULATED,4,MALIGNANT,4,{film}/1.2.3/{FULL}/000000.dcm,"
        f'{film}_1/1.2.4/{CROP}/000000.dcm,"{film}_1/1.2.4/{CROP}/000001.dcm\n"\n'
    )
    (folder / TABLE).write_text(HEAD + row)
    (folder / "mass_case_description_test_set.csv").write_text(HEAD)


def test_the_tables_say_which_series_are_needed(server, archive, tmp_path):
    write_tables(tmp_path / "tables")
    request = asked(tmp_path / "data", "cbis_ddsm", kinds=["mass"])
    places = [str(tmp_path / "tables")]
    record = download(server, tmp_path / "data", request=request, tables=places)
    assert content(tmp_path / "data") == digests(archive, FULL, CROP) and server.count("getSeries?") == 0
    assert TABLE in {row["path"] for row in record["files"]}
    (tmp_path / "tables" / TABLE).write_text(HEAD)
    with pytest.raises(DownloadError, match=f"{TABLE}: differs from"):
        download(server, tmp_path / "data", request=request, tables=places)


def test_images_land_where_the_adapter_looks(server, archive, tmp_path):
    write_tables(tmp_path / "tables")
    request = asked(tmp_path / "data", "cbis_ddsm", kinds=["mass"], folder="release")
    for _ in range(2):
        download(server, tmp_path / "data", request=request, tables=[str(tmp_path / "tables")])
    found = content(tmp_path / "data")
    assert set(found) == {f"release/{name}" for name in digests(archive, FULL, CROP)}
    assert server.count("getImage?") == 2


def test_tables_come_from_an_address(server, archive, tmp_path):
    write_tables(tmp_path / "tables")
    with serving(lambda path, query: (tmp_path / "tables" / path.rpartition("/")[2]).read_bytes()) as tables:
        tables.mishaps["train"] = [("status", 500, {})]
        places = [f"{tables.url}/x/{path.name}?version=1" for path in (tmp_path / "tables").iterdir()]
        request = asked(tmp_path / "data", "cbis_ddsm", kinds=["mass"])
        download(server, tmp_path / "data", request=request, tables=places)
        download(server, tmp_path / "data", request=request, tables=places)
        assert len(tables.asked) == 3
    assert content(tmp_path / "data") == digests(archive, FULL, CROP)


def test_missing_tables_are_said_before_any_image_is_fetched(server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        download(server, tmp_path, request=asked(tmp_path, "cbis_ddsm", kinds=["mass"]))
    for words in (TABLE, "download.tables", "collection's page", "docs/download.md"):
        assert words in str(caught.value)
    assert server.asked == []
    with pytest.raises(DownloadError, match="no csv table there"):
        download(server, tmp_path, request=asked(tmp_path, "cbis_ddsm"), tables=[str(tmp_path / "absent")])


# ---- where it lands


def test_a_folder_behind_a_link_is_the_users_and_results_are_not(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    link = Path("data/breasts")
    link.symlink_to(tmp_path / "disk")
    with pytest.raises(DownloadError, match="links to .*disk, which does not exist"):
        run.make_folder(link)
    (tmp_path / "disk").mkdir()
    download(server, link, series=[FULL])
    assert (tmp_path / "disk" / FULL / "1-1.dcm").is_file() and link.is_symlink()
    Path("results/study").mkdir(parents=True)
    inside = Path("data/inside")
    inside.symlink_to(tmp_path / "results/study")
    for folder in (inside, Path("results/study/data")):
        with pytest.raises(DownloadError, match="results"):
            run.make_folder(folder)
    Path("data/file").write_text("")
    with pytest.raises(DownloadError, match="no folder"):
        run.make_folder(Path("data/file"))


def test_a_full_disk_is_no_fault_of_the_server(server, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(DownloadError, match="No space left.*what came stays"):
        download(server, tmp_path, series=[FULL])
    assert server.count("getImage?") == 1


def test_a_bad_uid_is_refused_by_the_options():
    with pytest.raises(ConfigError):
        with_defaults("sightline.download.nbia", {"series": ["../../x"]}, "here")


def test_the_record_is_json_and_holds_no_place_of_this_machine(server, tmp_path):
    text = json.dumps(download(server, tmp_path, series=[FULL]))
    assert str(tmp_path) not in text
