"""Explaining within limits: what a job writes where its method sleeps, eats memory or dies."""

import os
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from scripts.attribute import explain_within

from sightline import tables
from sightline.attribution import batches, maps
from sightline.errors import SightlineError
from sightline.frames import Frame
from sightline.running import hardware
from sightline.running.limited import Limits, resident_bytes
from tests.zoo import LABELS, ZOO

AXES = {"dataset": "cxr", "model": "small", "seed": 0, "condition": "clean", "method": "hungry"}
METHOD = '''"""A method that does something before it answers."""
import os, time
import numpy as np
from sightline.attribution.maps import Maps
from sightline.frames import Frame
OPTIONS, PER_TARGET, GRID, NEEDS, IDENTITY, FAMILY, SOURCE = {}, True, "input", (), None, "gradient", "none"
def check(model, targets): return None
def cost(model, shape, targets): raise NotImplementedError
def explain(model, images, targets):
    open("started", "w").write(str(os.getpid()))
    %s
    values = np.ones((len(images.names), targets.count, 32, 32), np.float32)
    return [Maps("input", targets.names, values, Frame.of_image((32, 32)))]
'''
SLEEPS = "time.sleep(60)"
EATS = "kept = [(time.sleep(0.01), bytearray(b'x' * 20_000_000)) for _ in range(3000)]"
DIES = "os._exit(7)"


class Cell:
    """What `explain` asks of a cell of the grid, in memory."""

    def __init__(self, method: str):
        self.model, self.images = ZOO["resnet"]()
        self.setting = SimpleNamespace(labels=LABELS)
        self.method = maps.Method(method)
        self.plan = batches.plan({name: Frame.of_image((32, 32)) for name in self.images.names}, 2)
        rows = [("cxr", image, label, 1.0) for image in self.images.names for label in LABELS]
        self.labels = pd.DataFrame(rows, columns=["dataset", "image", "label", "value"])

    def explanations(self, plan):
        return maps.run(self.method, self.model, plan, lambda _batch: self.images.pixels)


class Outputs(list):
    """Paths with names, as Snakemake hands to scripts."""

    def __init__(self, **named):
        super().__init__(named.values())
        vars(self).update(named)


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    names = {"maps": "maps.parquet", "values": "values.npy", "predictions": "predictions.parquet"}
    return Outputs(**{name: tmp_path / "out" / file for name, file in names.items()})


def attribute(does: str, limits: Limits, recorded: bool, outputs) -> None:
    path = outputs.maps.parents[1] / "hungry.py"
    path.write_text(METHOD % does)
    explain_within(limits, recorded, lambda: Cell(str(path)), AXES, outputs)


def limits_for(does: str) -> tuple[Limits, str]:
    if does == EATS:
        limit = resident_bytes(os.getpid()) / 1e9 + 0.4
        return Limits(memory_gb=limit), "GB of memory, more than"
    return (Limits(1), "took longer than 1 s") if does == SLEEPS else (Limits(60), "exit code 7")


def test_within_its_limits_a_method_gives_what_it_gives_without(outputs):
    attribute("pass", Limits(), False, outputs)
    without = [path.read_bytes() for path in outputs]
    attribute("pass", Limits(60, 50), False, outputs)
    assert [path.read_bytes() for path in outputs] == without
    assert set(tables.read("maps", outputs.maps)["status"]) == {"ok"}


@pytest.mark.parametrize("does", [SLEEPS, EATS, DIES], ids=["sleeps", "eats", "dies"])
def test_a_method_past_its_limits_fails_its_job_and_leaves_nothing(does, outputs):
    limits, said = limits_for(does)
    start = time.monotonic()
    with pytest.raises(SightlineError, match=said) as error:
        attribute(does, limits, False, outputs)
    assert time.monotonic() - start < 30
    for words in ("'hungry'", "methods.hungry.limits", "on_excess: record", "a rerun tries again"):
        assert words in str(error.value)
    assert list(outputs.maps.parent.glob("*")) == []
    process = int((outputs.maps.parents[1] / "started").read_text())
    assert resident_bytes(process) == 0


@pytest.mark.parametrize("does", [SLEEPS, EATS, DIES], ids=["sleeps", "eats", "dies"])
def test_a_method_past_its_limits_may_be_recorded_instead(does, outputs):
    limits, said = limits_for(does)
    attribute(does, limits, True, outputs)
    found = tables.read("maps", outputs.maps)
    cell = Cell("gradcam")
    wanted = [(image, label) for image in cell.images.names for label in LABELS]
    assert sorted(zip(found["image"], found["target"])) == sorted(wanted)
    assert set(found["status"]) == {"failed"} and found["reason"].str.contains(said).all()
    predictions = tables.read("predictions", outputs.predictions).pivot(
        index="image", columns="label", values="logit"
    )
    with torch.no_grad():
        expected = cell.model.network(cell.images.pixels).double().numpy()
    given = predictions.loc[list(cell.images.names), list(LABELS)].to_numpy()
    assert given == pytest.approx(expected, rel=1e-5)
    assert {path.name for path in outputs.maps.parent.iterdir()} == {path.name for path in outputs}


def test_costs_of_the_child_are_the_jobs(outputs):
    before = hardware.peak_bytes()
    eats_some = "kept = bytearray(b'x' * 600_000_000)"
    attribute(eats_some, Limits(60), False, outputs)
    assert hardware.peak_bytes() > before + 300_000_000
