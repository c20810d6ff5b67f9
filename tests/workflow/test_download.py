"""A study whose images come from a server on this machine, as a user would run it."""

import json
import shutil
import zlib

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.unit import dicom_files
from tests.unit.download_servers import Archive, serving
from tests.workflow.conftest import copy_project

TABLES = ("mass_case_description_train_set.csv", "mass_case_description_test_set.csv")
IMAGES = "results/breasts/datasets/cbis/images.parquet"
HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)
UIDS = "1.3.6.1.4.1.9590.100.1.2."


def breast(number: int, split: str) -> tuple[str, dict[str, tuple[str, str, list[bytes]]]]:
    """A row of the case descriptions, and its two series: the film; crop and mask together."""
    film = f"Mass-{split}_P_{number:05}_LEFT_CC"
    full, shared = f"{UIDS}{number}1", f"{UIDS}{number}2"
    random = np.random.default_rng(zlib.crc32(film.encode()))
    pixels = random.integers(0, 65536, (60, 40), dtype=np.uint16)
    mask = np.zeros((60, 40), dtype=np.uint8)
    mask[20:35, 10:25] = 255

    def file(values: np.ndarray, series: str, patient: str, about: str) -> bytes:
        return dicom_files.content(
            values, SeriesInstanceUID=series, PatientID=patient, SeriesDescription=about
        )

    row = (
        f"P_{number:05},2,LEFT,CC,1,mass,OVAL,SPICULATED,4,{'MALIGNANT' if number % 2 else 'BENIGN'},4,"
        f"{film}/1.2.{number}/{full}/000000.dcm,{film}_1/1.3.{number}/{shared}/000000.dcm,"
        f'"{film}_1/1.3.{number}/{shared}/000001.dcm\n"\r\n'
    )
    about = "ROI mask images"
    regions = [file(mask, shared, f"{film}_1", about), file(pixels[20:35, 10:25], shared, f"{film}_1", about)]
    return row, {
        full: (film, "full mammogram images", [file(pixels, full, film, "full mammogram images")]),
        shared: (f"{film}_1", about, regions),
    }


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path / "project")


def test_images_are_fetched_read_and_not_fetched_again(project, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    archive = Archive({})
    (project.folder / "tables").mkdir()
    for name, split, numbers in zip(TABLES, ("Training", "Test"), (range(1, 7), range(7, 10))):
        made = [breast(number, split) for number in numbers]
        text = HEADER + "\r\n" + "".join(row for row, _ in made)
        (project.folder / "tables" / name).write_text(text, newline="")
        for _, series in made:
            archive.series |= series
    with serving(archive) as server:
        server.mishaps = {"getImage?": [("status", 500, {}), ("cut", 300), ("body", b"PK")]}
        study = {
            "study": "breasts",
            "datasets": {
                "cbis": {
                    "adapter": {"name": "cbis_ddsm", "kinds": ["mass"]},
                    "download": {"from": "nbia", "url": f"{server.url}/v1", "tables": ["tables"]},
                }
            },
        }
        (project.folder / "study.yaml").write_text(yaml.safe_dump(study))
        project.snakemake("--nolock", IMAGES)
        first = (project.folder / "results/breasts/downloads/cbis.json").read_bytes()
        images = pd.read_parquet(project.folder / IMAGES)
        assert len(images) == 9 and all(
            (project.folder / "data/cbis" / path).is_file() for path in images["path"]
        )
        assert len(json.loads(first)["files"]) == 2 + 9 * 3
        masks = pd.read_parquet(project.folder / IMAGES.replace("images", "masks"))
        assert set(masks["image"]) == set(images["image"])

        asked = len(server.asked)
        shutil.rmtree(project.folder / "results")
        project.snakemake("--nolock", IMAGES)
        assert len(server.asked) == asked  # all of it lay in data/, and was found right
        assert (project.folder / "results/breasts/downloads/cbis.json").read_bytes() == first
        assert project.would_run(IMAGES) == {}
