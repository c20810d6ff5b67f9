"""Requests answered badly, files that go on where they stopped, credentials that stay with one host."""

import hashlib
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

from sightline import addresses
from sightline.download import credentials, fetching, web
from sightline.download.fetching import Manners
from sightline.download.ledger import NAME, Ledger
from sightline.errors import ConfigError, DownloadError
from tests.unit.download_servers import PASSWORD, QUICK, USER, serving, session_in

SOURCE = Path(__file__).resolve().parents[2] / "src"
BODY = bytes(range(256)) * 4000  # a megabyte, no two pieces alike


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NETRC", "/nonexistent")


@pytest.fixture
def server():
    with serving(lambda path, query: BODY if path.endswith("/file") else 404) as found:
        yield found


def bring(server, folder, digest: str | None = hashlib.sha256(BODY).hexdigest(), manners: Manners = QUICK):
    """Fetch /file as `sub/file`; the failures."""
    with session_in(folder, manners) as session:
        task = (session, session.client(server.url), f"{server.url}/file", "sub/file", digest)
        return session.all({"file": lambda: fetching.file(*task)}, "files")


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name not in ("file", NAME)]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_a_server_gets_wrong_once_is_asked_again(server, tmp_path, status):
    server.mishaps["file"] = [("status", status, {})]
    assert bring(server, tmp_path) == {}
    assert (tmp_path / "sub/file").read_bytes() == BODY and server.count("file") == 2
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("status", [400, 404, 410])
def test_what_is_not_there_is_asked_for_once(server, tmp_path, status):
    server.mishaps["file"] = [("status", status, {})]
    failed = bring(server, tmp_path)
    assert str(status) in failed["file"] and server.count("file") == 1


def test_attempts_end(server, tmp_path):
    server.mishaps["file"] = [("status", 500, {})] * 9
    assert "500" in bring(server, tmp_path)["file"]
    assert server.count("file") == QUICK.attempts


def test_retry_after_is_kept_by_all_workers_and_capped(server, tmp_path):
    manners = Manners(workers=2, attempts=3, first_wait=0.01, longest_wait=0.4, stall_seconds=2)
    server.mishaps["one"] = [("status", 429, {"Retry-After": "3600"})]
    with session_in(tmp_path, manners) as session:
        client = session.client(server.url)
        start = time.monotonic()
        ended: dict[str, float] = {}

        def work(name: str) -> None:
            fetching.file(session, client, f"{server.url}/{name}/file", name, None)
            ended[name] = time.monotonic() - start

        session.retried(lambda: work("one"))
        assert 0.4 <= ended["one"] < 60  # the cap, not an hour
        session.pause(0.3, everyone=True)
        before = time.monotonic() - start
        session.retried(lambda: work("two"))
        assert ended["two"] - before >= 0.29


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, 0), ("7", 7), ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)]
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert web.retry_after(value) == seconds


def test_retry_after_as_a_date_to_come():
    from email.utils import formatdate

    assert 55 < web.retry_after(formatdate(time.time() + 60, usegmt=True)) <= 61


@pytest.mark.parametrize("mishap", [("cut", 300_000), ("reset", 300_000)])
def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path, mishap):
    server.mishaps["file"] = [mishap]
    assert bring(server, tmp_path) == {}
    assert (tmp_path / "sub/file").read_bytes() == BODY
    first, second = server.ranges("file")
    assert first is None and second.startswith("bytes=") and 0 < int(second[6:-1]) <= 300_000


def test_a_download_that_was_ended_goes_on_in_the_next_process(server, tmp_path):
    server.mishaps["file"] = [("cut", 400_000)] * 2
    once = Manners(attempts=1, stall_seconds=2)
    assert "broken off" in bring(server, tmp_path, manners=once)["file"]
    assert "broken off" in bring(server, tmp_path, manners=once)["file"]
    assert bring(server, tmp_path, manners=once) == {}
    assert server.ranges("file") == [None, "bytes=400000-", "bytes=800000-"]
    assert (tmp_path / "sub/file").read_bytes() == BODY


def test_a_download_that_was_killed_goes_on(server, tmp_path):
    server.mishaps["file"] = [("slow", 50_000, 0.05)]
    code = (
        "import sys\nfrom pathlib import Path\nfrom sightline.download import fetching\n"
        "from sightline.download.ledger import Ledger\n"
        "session = fetching.Session(Path(sys.argv[2]), fetching.Manners(), Ledger(Path(sys.argv[2])))\n"
        "client = session.client(sys.argv[1])\n"
        "fetching.file(session, client, client.url + '/file', 'sub/file', '0' * 64)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    child = subprocess.Popen([sys.executable, "-c", code, server.url, str(tmp_path)], env=environment)
    part = tmp_path / "sub/.file.part"
    end = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 100_000) and time.monotonic() < end:
        time.sleep(0.01)
    child.kill()
    child.wait()
    have = part.stat().st_size
    assert 100_000 <= have < len(BODY) and not (tmp_path / "sub/file").exists()
    assert bring(server, tmp_path) == {}
    assert server.ranges("file") == [None, f"bytes={have}-"] and (tmp_path / "sub/file").read_bytes() == BODY


def test_the_last_byte_came_before_the_end(server, tmp_path):
    part = tmp_path / "sub/.file.part"
    part.parent.mkdir()
    part.write_bytes(BODY)
    assert bring(server, tmp_path) == {}
    assert server.ranges("file") == [f"bytes={len(BODY)}-"] and (tmp_path / "sub/file").read_bytes() == BODY


def test_a_part_that_is_too_long_begins_anew(server, tmp_path):
    part = tmp_path / "sub/.file.part"
    part.parent.mkdir()
    part.write_bytes(BODY + b"more")
    assert bring(server, tmp_path) == {}
    assert (tmp_path / "sub/file").read_bytes() == BODY and server.ranges("file")[-1] is None


def test_a_server_that_ignores_ranges_sends_the_whole_and_it_is_not_appended(server, tmp_path):
    server.mishaps["file"] = [("cut", 300_000), ("whole",)]
    assert bring(server, tmp_path) == {}
    assert (tmp_path / "sub/file").read_bytes() == BODY


def test_another_version_is_not_joined_to_the_old_one(tmp_path):
    versions = [b"a" * 100_000, b"b" * 100_000]
    with serving(lambda path, query: versions[0]) as server:
        server.mishaps["file"] = [("cut", 40_000)]
        bring(server, tmp_path, digest=None, manners=Manners(attempts=1, stall_seconds=2))
        versions.pop(0)
        assert bring(server, tmp_path, digest=None) == {}
    assert (tmp_path / "sub/file").read_bytes() == b"b" * 100_000


def test_a_file_is_on_the_disk_before_it_has_its_name(server, tmp_path, monkeypatch):
    written = []

    def noted(descriptor):
        assert not (tmp_path / "sub/file").exists()
        written.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", noted)
    assert bring(server, tmp_path) == {} and written == [len(BODY)]


def test_a_kill_as_another_version_begins_joins_nothing(tmp_path, monkeypatch):
    versions, write = [b"a" * 100_000, b"b" * 100_000], Path.write_text

    def killed(path, text):
        write(path, text)
        raise KeyboardInterrupt

    with serving(lambda path, query: versions[0]) as server:
        server.mishaps["file"] = [("cut", 40_000)]
        bring(server, tmp_path, digest=None, manners=Manners(attempts=1, stall_seconds=2))
        versions.pop(0)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Path, "write_text", killed)
            bring(server, tmp_path, digest=None)
        assert bring(server, tmp_path, digest=None) == {}
    assert (tmp_path / "sub/file").read_bytes() == b"b" * 100_000


def test_without_version_and_checksum_nothing_is_joined(server, tmp_path):
    server.etags = False
    server.mishaps["file"] = [("cut", 300_000)]
    assert bring(server, tmp_path, digest=None) == {}
    assert server.ranges("file") == [None, None] and (tmp_path / "sub/file").read_bytes() == BODY


def test_a_wrong_checksum_is_fetched_anew_and_never_gets_the_name(server, tmp_path):
    server.mishaps["file"] = [("body", b"x" * len(BODY))]
    assert bring(server, tmp_path) == {} and (tmp_path / "sub/file").read_bytes() == BODY
    failed = bring(server, tmp_path / "other", digest="0" * 64)
    assert "SHA-256" in failed["file"] and not (tmp_path / "other/sub/file").exists()
    assert leftovers(tmp_path / "other") == []


def test_a_slow_server_is_left_at_the_stall_limit(server, tmp_path):
    manners = Manners(attempts=2, first_wait=0.01, stall_seconds=0.3)
    server.mishaps["file"] = [("slow", 20, 0.05)]  # 400 bytes per second
    start = time.monotonic()
    assert bring(server, tmp_path, manners=manners) == {}
    assert time.monotonic() - start < 20 and server.count("file") == 2  # it would have taken 40 minutes


def test_a_silent_server_is_left_at_the_stall_limit(server, tmp_path):
    manners = Manners(attempts=1, stall_seconds=0.3)
    server.mishaps["file"] = [("slow", 500_000, 30)]
    start = time.monotonic()
    assert "broken off" in bring(server, tmp_path, manners=manners)["file"]
    assert time.monotonic() - start < 20


def test_nothing_is_fetched_that_is_there_and_right(server, tmp_path):
    bring(server, tmp_path)
    assert bring(server, tmp_path) == {} and server.count("file") == 1
    (tmp_path / NAME).unlink()  # also without the record: the checksum tells
    assert bring(server, tmp_path) == {} and server.count("file") == 1
    (tmp_path / "sub/file").write_bytes(BODY[:-1] + b"!")
    assert bring(server, tmp_path) == {} and server.count("file") == 2
    assert (tmp_path / "sub/file").read_bytes() == BODY


def test_one_bad_file_costs_the_others_nothing_and_a_gone_server_is_left_alone(server, tmp_path):
    with session_in(tmp_path) as session:
        client = session.client(server.url)

        def task(name: str):
            return lambda: fetching.file(
                session, client, f"{server.url}/{name}", name.replace("/", "_"), None
            )

        names = ["a/file", "absent", *(f"{number}/file" for number in range(30))]
        failed = session.all({name: task(name) for name in names}, "files")
        assert list(failed) == ["absent"] and len(list(tmp_path.glob("*_file"))) == 31
        asked = len(server.asked)
        failed = session.all({name: task(name) for name in map("gone{}".format, range(100))}, "files")
        assert len(failed) == 100 and len(server.asked) - asked < 40
        assert sum("not tried" in reason for reason in failed.values()) > 50


def test_progress_is_told_by_files(server, tmp_path, capfd):
    bring(server, tmp_path)
    assert "files: 1 of 1" in capfd.readouterr().err


# ---- credentials


def test_credentials_do_not_follow_a_redirect_to_another_host(tmp_path):
    with serving(lambda path, query: b"elsewhere") as other, serving(lambda path, query: b"here") as server:
        server.password = PASSWORD
        server.mishaps["file"] = [("to", f"{other.url}/file")]
        client = web.Client(server.url, 2, threading.Event(), web.Credentials(USER, PASSWORD))
        with client.open(f"{server.url}/file") as response:
            assert response.read() == b"elsewhere"  # another port is another host
        assert "authorization" in server.asked[0][1] and "authorization" not in other.asked[0][1]
        server.mishaps["file"] = [("to", f"{server.url}/moved")]
        with client.open(f"{server.url}/file") as response:
            assert response.read() == b"here"
        assert "authorization" in server.asked[-1][1]
        with client.open(
            f"{other.url}/direct"
        ) as response:  # nor are they sent there when asked for directly
            assert response.read() == b"elsewhere"
        assert "authorization" not in other.asked[-1][1]


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/file", "file:///etc/hostname"])
def test_a_redirect_to_another_kind_of_address_is_refused(server, target):
    server.mishaps["file"] = [("to", target)]
    client = web.Client(server.url, 2, threading.Event())
    with pytest.raises((web.Permanent, web.Temporary)):
        client.open(f"{server.url}/file")
    assert server.count("file") == 1


def test_from_https_to_http_is_refused():
    import urllib.request

    request = urllib.request.Request("https://physionet.org/files/x")
    with pytest.raises(web.Permanent, match="not followed"):
        web._Redirects().redirect_request(request, None, 302, "", {}, "http://physionet.org/files/x")


def test_credentials_are_for_their_host(tmp_path):
    environment = {"SIGHTLINE_PHYSIONET_USER": USER, "SIGHTLINE_PHYSIONET_PASSWORD": PASSWORD}
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "machine mirror.example login them password other\nmachine physionet.org login n password p\n"
    )
    netrc.chmod(0o600)
    both = environment | {"NETRC": str(netrc)}

    def find(url, given):
        found = credentials.find(url, "physionet.org", "SIGHTLINE_PHYSIONET", given)
        return found and (found.user, found.password)

    nothing = {"NETRC": str(tmp_path / "absent")}
    assert find("https://physionet.org/files", both) == (USER, PASSWORD)
    assert find("https://physionet.org/files", {"NETRC": str(netrc)}) == ("n", "p")
    assert find("https://mirror.example/files", both) == ("them", "other")
    assert find("https://evil.example/files", both) is None
    assert find("https://physionet.org.evil.example/files", both) is None
    assert find("https://physionet.org/files", nothing) is None
    with pytest.raises(ConfigError, match="https alone"):
        find("http://physionet.org/files", both)
    with pytest.raises(ConfigError, match="only one of the two"):
        find("https://physionet.org/files", {"SIGHTLINE_PHYSIONET_USER": USER} | nothing)


def test_a_damaged_netrc_is_named_and_not_quoted(tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine physionet.org login me passwort {PASSWORD}\n")
    netrc.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        credentials.find(
            "https://physionet.org", "physionet.org", "SIGHTLINE_PHYSIONET", {"NETRC": str(netrc)}
        )
    text = "".join(traceback.format_exception(caught.value))
    assert str(netrc) in text and "line 1" in text
    assert PASSWORD not in text and PASSWORD.split()[0] not in text


def test_no_text_of_credentials_holds_them():
    found = web.Credentials(USER, PASSWORD)
    for text in (
        repr(found),
        str(found),
        f"{found}",
        repr([found]),
        repr(vars(web.Client("https://a.org", 1, None, found))),
    ):
        assert USER not in text and PASSWORD not in text


@pytest.mark.parametrize(
    "url", [f"https://{USER}:{PASSWORD}@physionet.org/files", "physionet.org", "ftp://a.org"]
)
def test_an_address_with_a_password_or_of_another_kind_is_refused(url):
    with pytest.raises(ConfigError) as caught:
        addresses.checked(url)
    assert PASSWORD not in str(caught.value) and USER not in str(caught.value)


# ---- the record


def test_a_line_that_was_cut_is_ignored_and_the_next_one_stands_apart(tmp_path):
    (tmp_path / "a").write_text("a")
    ledger = Ledger(tmp_path)
    ledger.add("a")
    ledger.close()
    with open(tmp_path / NAME, "a") as file:
        file.write('{"path": "b", "by')
    ledger = Ledger(tmp_path)
    (tmp_path / "c").write_text("c")
    ledger.add("c")
    ledger.close()
    ledger = Ledger(tmp_path)
    assert ledger.intact("a") and ledger.intact("c") and not ledger.intact("b")
    ledger.close()


def test_two_downloads_into_one_folder_are_refused(tmp_path):
    with session_in(tmp_path), pytest.raises(DownloadError, match="another download"):
        Ledger(tmp_path)


def test_a_touched_file_is_right_and_an_edited_one_is_not(tmp_path):
    path = tmp_path / "a"
    path.write_text("a")
    with session_in(tmp_path) as session:
        session.ledger.add("a")
        os.utime(path, (1, 1))
        assert session.ledger.intact("a")
        path.write_text("b")
        assert not session.ledger.intact("a")
        path.unlink()
        assert not session.ledger.intact("a") and session.ledger.files(["a"]) == []
