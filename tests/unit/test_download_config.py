"""What the configuration says of downloads, and which jobs follow from it."""

import copy
from pathlib import Path

import pytest
import yaml

from sightline import options
from sightline.errors import ConfigError
from sightline.study import downloads
from sightline.study.grid import Study

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
TINY = yaml.safe_load((ROOT / "tests/workflow/study.yaml").read_text())


def study(dataset: str = "own", **download: object) -> Study:
    config = copy.deepcopy(TINY)
    config["datasets"][dataset]["download"] = download
    return Study(config, SCHEMA)


def test_nothing_is_downloaded_by_default():
    assert [downloads.of(Study(TINY, SCHEMA), name) for name in TINY["datasets"]] == [None, None]


def test_options_are_completed():
    found = downloads.of(study(**{"from": "nbia", "kinds": ["Mass"]}), "own")
    assert found["source"] == "nbia" and found["accept_missing"] is False
    assert found["options"]["kinds"] == ["Mass"] and found["options"]["collection"] == "CBIS-DDSM"
    assert set(found["options"]) == set(options.read("sightline.download.nbia")["OPTIONS"])


@pytest.mark.parametrize(
    ("dataset", "download", "said"),
    [
        ("own", {"from": "tcia"}, ["datasets.own.download.from", "nbia", "physionet"]),
        ("own", {"kinds": ["Mass"]}, ["datasets.own.download", "lacks the key 'from'"]),
        ("own", {"from": "physionet", "kinds": ["Mass"]}, ["datasets.own.download.kinds"]),
        ("own", {"from": "physionet", "password": "x"}, ["datasets.own.download.password"]),
        ("own", {"from": "nbia", "max_images": 0}, ["datasets.own.download.max_images"]),
        ("cxr", {"from": "physionet"}, ["datasets.cxr.download", "phantom"]),
    ],
)
def test_what_cannot_be_is_refused(dataset, download, said):
    with pytest.raises(ConfigError) as caught:
        study(dataset, **download)
    assert all(words in str(caught.value) for words in said)


def test_the_users_own_files_are_inputs():
    places = ["https://a.org/a.csv", "tables/a.csv", "tables"]
    found = study(**{"from": "nbia", "manifest": "some.tcia", "tables": places})
    assert downloads.local_files(found, "own") == ["some.tcia", "tables/a.csv"]
    assert downloads.local_files(study(**{"from": "physionet"}), "own") == []
