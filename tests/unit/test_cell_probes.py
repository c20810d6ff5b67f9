"""Probes of one cell's maps: a row per image and metric, and no image loses its number to its company."""

import numpy as np
import pytest

from sightline import tables
from sightline.attribution import store
from sightline.attribution.probes import deletion
from sightline.explanation import probing
from sightline.outcomes import MapsOf
from sightline.scores.saliency import Saliency
from tests.unit.test_explaining import LABELS, cell, files  # noqa: F401 (a fixture)

MAPS_OF = MapsOf("d", "m", 0, "clean", "gradcam")
PROBES = {"deletion": {"kind": "deletion", "options": {"steps": 2}}}


@pytest.fixture(scope="module")
def probed(files, tmp_path_factory):  # noqa: F811
    """Probes the maps of the cell's three images."""
    folder, opened = tmp_path_factory.mktemp("maps"), cell(files)
    explanations = opened.explanations(opened.plan)
    said = store.write(explanations, vars(MAPS_OF), LABELS, folder / "maps.parquet", folder / "values.npy")
    predictions = said.assign(value=np.nan)
    tables.write("predictions", predictions, folder / "predictions.parquet")
    saliency = Saliency(
        folder / "maps.parquet", folder / "values.npy", folder / "predictions.parquet", LABELS
    )
    return lambda: probing.probe(opened, MAPS_OF, saliency, PROBES, probing.drawn(opened, 3))


def test_every_image_has_a_number(probed):
    rows = probed()
    assert sorted(rows["image"]) == ["t1", "t2", "t3"]
    assert (rows["status"] == "ok").all() and rows["value"].between(0, 1).all()


def test_one_images_failure_is_its_own(probed, monkeypatch):
    whole, real = probed().set_index("image")["value"], deletion.probe

    def fails_on_one(given, **options):
        if "t2" in given.images.names:
            raise ValueError("this one")
        return real(given, **options)

    monkeypatch.setattr(deletion, "probe", fails_on_one)
    rows = probed().set_index("image")
    assert rows["status"].to_dict() == {"t1": "ok", "t2": "failed", "t3": "ok"}
    assert "this one" in rows.loc["t2", "reason"]
    np.testing.assert_allclose(rows.loc[["t1", "t3"], "value"].astype(float), whole[["t1", "t3"]], rtol=1e-5)
