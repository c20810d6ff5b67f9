"""No text that an error or a page leaves holds a secret: credentials, signed addresses, proxies, names."""

import base64
import threading
import traceback
from urllib.parse import quote

import pytest

from sightline import addresses
from sightline.download import web
from sightline.errors import ConfigError
from sightline.study import shown
from tests.unit.download_servers import PASSWORD, USER, serving
from tests.unit.test_study import study

SIGNATURE = "a-marked-signature"
MARKS = (
    USER,
    PASSWORD,
    quote(PASSWORD),
    PASSWORD.split(":")[0],
    SIGNATURE,
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving(lambda path, query: b"body" if path.endswith("/file") else 404) as found:
        found.password = PASSWORD
        yield found


def everything_said(work) -> str:
    """The text of the error that `work` raises, with its traceback as it is printed."""
    with pytest.raises((web.Temporary, web.Permanent, web.Denied, ConfigError)) as caught:
        work()
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
    assert len(str(caught.value)) > 20
    return said


def client_of(server) -> web.Client:
    return web.Client(server.url, 2, threading.Event(), web.Credentials(USER, PASSWORD))


SECRET_TARGETS = {
    "user and password": "http://{user}:{password}@127.0.0.1:{port}/file",
    "a port that is none": "http://{user}:{password}/file",
    "two ats": "http://{user}:{password}@x@127.0.0.1:{port}/file",
    "signed, not there": "http://127.0.0.1:{port}/gone?X-Amz-Signature={signature}",
    "signed, nobody answers": "http://127.0.0.1:1/file?sig={signature}",
    "signed, of another kind": "ftp://127.0.0.1/file?sig={signature}",
    "signed, a control character": "http://127.0.0.1:{port}/fi\x7fle?sig={signature}",
    "signed, then redirected away": "http://127.0.0.1:{port}/again?sig={signature}",
}


@pytest.mark.parametrize("target", SECRET_TARGETS.values(), ids=SECRET_TARGETS)
def test_an_error_after_a_redirect_quotes_no_secret_of_its_address(server, target):
    port = server.url.rpartition(":")[2]
    address = target.format(user=USER, password=quote(PASSWORD), signature=SIGNATURE, port=port)
    server.mishaps = {"again": [("to", f"file:///etc/hostname?sig={SIGNATURE}")], "file": [("to", address)]}
    said = everything_said(lambda: client_of(server).open(f"{server.url}/file"))
    assert [mark for mark in MARKS if mark in said] == [] and "/file" in said


@pytest.mark.parametrize(
    "proxy", ["http://{}:{}@127.0.0.1:1", "http://{}:{}@", "{}:{}@127.0.0.1:1", "http://{}:{}@127.0.0.1:x"]
)
def test_an_error_behind_a_proxy_does_not_quote_its_password(monkeypatch, proxy):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", proxy.format(USER, quote(PASSWORD)))
    client = web.Client("http://archive.invalid", 2, threading.Event())
    said = everything_said(lambda: client.open("http://archive.invalid/file"))
    assert [mark for mark in MARKS if mark in said] == []


SECRET_ADDRESSES = [
    f"https://{USER}:{quote(PASSWORD)}@a.org/files",
    f"https://{USER}@a.org/files",
    f"https://{USER}:{PASSWORD}",
    f"https://a.org/x.csv?token={SIGNATURE}",
    f"https://a.org/x.csv?version=1&X-Amz-Signature={SIGNATURE}",
    f"https://a.org/x.csv?api_KEY={SIGNATURE}&a",
    f"https://[{SIGNATURE}/x.csv",
]


@pytest.mark.parametrize("url", SECRET_ADDRESSES)
def test_an_address_of_the_configuration_that_holds_a_secret_is_refused(url):
    said = everything_said(lambda: addresses.checked(url))
    assert [mark for mark in MARKS if mark in said] == []


@pytest.mark.parametrize("url", SECRET_ADDRESSES)
@pytest.mark.parametrize("of_type", [str, lambda url: [url], lambda url: {"url": url}])
def test_a_configuration_with_such_an_address_is_refused_before_any_job(url, of_type):
    """Also where the address stands in no place for one: errors of the schema quote what they found."""
    for key in ("url", "tables", "adress"):
        download = {"from": "nbia", key: of_type(url)}
        breasts = {"adapter": {"name": "cbis_ddsm"}, "download": download}
        said = everything_said(lambda breasts=breasts: study(**{"datasets.breasts": breasts}))
        assert [mark for mark in MARKS if mark in said] == []
        assert f"config: datasets.breasts.download.{key}" in said and "netrc" in said


def test_an_address_with_other_parameters_is_not():
    address = (
        "https://a.org/download/table.csv?version=1&modificationDate=15&api=v2&author=b&keyword=c&design=d"
    )
    assert addresses.checked(address) == address
    addresses.refuse_secrets({"credit": f"{address} (mail@a.org; see user@host:folder, http://a.org:80)."})


def test_only_http_is_opened():
    client = web.Client("http://a.org", 2, threading.Event())
    for address in ("file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"):
        with pytest.raises(web.Temporary, match="unknown url type"):
            client.open(address)


def test_what_a_server_nests_without_end_is_no_answer():
    with (
        serving(lambda path, query: b"[" * 200_000) as server,
        pytest.raises(web.Temporary, match="not JSON"),
    ):
        web.Client(server.url, 2, threading.Event()).json(f"{server.url}/list")


# ---- what the configuration names


def configured(publish: str, redistributable: bool) -> dict:
    """The configuration of two datasets, as the page shows it."""
    films = {"adapter": {"name": "inbreast", "swapped": ["22670094"]}, "redistributable": redistributable}
    patients = {"from": "nbia", "patients": ["P_00017"], "series": ["1.2.3"], "manifest": "some.tcia"}
    breasts = {"adapter": {"name": "cbis_ddsm"}, "download": patients, "redistributable": redistributable}
    changes = {"datasets.films": films, "datasets.breasts": breasts, "report": {"publish_images": publish}}
    return shown.published_config(study(**changes))["datasets"]


@pytest.mark.parametrize("publish", ["none", "publish"])
def test_the_page_shows_no_name_of_an_image_or_patient_that_the_configuration_has(publish):
    text = str(configured(publish, redistributable=False))
    assert not any(name in text for name in ("22670094", "P_00017", "1.2.3", "some.tcia"))
    assert "'swapped': '(left out)'" in text and "'from': 'nbia'" in text


@pytest.mark.parametrize(("publish", "redistributable"), [("local", False), ("none", True)])
def test_where_they_may_be_told_they_are(publish, redistributable):
    text = str(configured(publish, redistributable))
    assert all(name in text for name in ("22670094", "P_00017", "1.2.3", "some.tcia"))
