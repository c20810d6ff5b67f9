"""From stored maps to the table of agreements: the script on files as `attribute` writes them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scripts import compare_maps

from sightline import arrays, tables
from sightline.agreement.measures import measured
from sightline.attribution.condition import Condition
from sightline.frames import Frame, resample, scoring_frame
from sightline.scores.scoring import MapsOf

IMAGES = {"a": (64, 48), "b": (56, 48)}
LABELS = ["fox", "ant"]


def drawn(cell, image, label, grid):
    return np.random.default_rng([cell.seed, len(cell.condition), ord(image), len(label)]).normal(size=grid)


def stored(folder, cell, logits, grid=(7, 6), moved=None):
    """Maps of both labels on a coarse grid, and predictions that give every image `logits`."""
    rows, said = [], []
    with arrays.Writer(folder / "values.npy", np.float32) as writer:
        for image, shape in IMAGES.items():
            frame = Frame.resized(shape, grid)
            frame = moved(frame) if moved else frame
            for at, label in enumerate(LABELS):
                values = drawn(cell, image, label * (at + 1), grid)
                row = dict.fromkeys(tables.SCHEMAS["maps"].columns) | vars(cell)
                row |= {"image": image, "target": label, "source": "last", "status": "ok", "signed": True}
                row |= {"offset": writer.append(values), "all_zero": False, "non_finite": 0}
                rows.append(
                    row | {"shape": list(grid), "scale": list(frame.scale), "shift": list(frame.shift)}
                )
                keys = {key: getattr(cell, key) for key in ("dataset", "model", "seed", "condition")}
                said.append(keys | {"image": image, "label": label, "logit": logits[at], "value": 1.0})
    tables.write("maps", pd.DataFrame(rows), folder / "maps.parquet", values=folder / "values.npy")
    tables.write("predictions", pd.DataFrame(said), folder / "predictions.parquet")
    return [folder / name for name in ("maps.parquet", "values.npy", "predictions.parquet")]


@pytest.fixture
def job(tmp_path):
    cells = [MapsOf("d", "m", 0, condition, "cam") for condition in ("clean", "random")]
    files = []
    for cell in cells:
        (tmp_path / cell.condition).mkdir()
        logits = {"clean": (3.0, -3.0), "random": (-3.0, 3.0)}[cell.condition]  # another class each
        files.append(stored(tmp_path / cell.condition, cell, logits))
    rows = []
    for at, (image, (height, width)) in enumerate(IMAGES.items()):
        row = dict.fromkeys(tables.SCHEMAS["images"].columns, "") | {"dataset": "d", "image": image}
        row |= {"subject": f"s{at}", "height": height, "width": width, "evaluated": False}
        rows.append(row | {"spacing_y": None, "spacing_x": None})
    tables.write("images", pd.DataFrame(rows), tmp_path / "images.parquet")
    maps, values, predictions = zip(*files)
    inputs = SimpleNamespace(
        maps=maps, values=values, predictions=predictions, images=tmp_path / "images.parquet", cuts=[]
    )
    params = SimpleNamespace(
        agreement={"between": "condition", "with": "clean", "only": {}},
        labels=[LABELS] * 2,
        readings=[{"predicted": {"classes": "predicted", "clip": "none"}}] * 2,
        sides=[64] * 2,
        moving={},
        cut_to=None,
        scale=0.25,
    )
    return inputs, params, cells


def test_the_same_class_is_compared_although_the_random_model_predicts_another(job, tmp_path):
    inputs, params, cells = job
    found = compare_maps.compare(inputs, params, "randomisation", cells)
    tables.write("agreements", found, tmp_path / "agreements.parquet")
    assert set(found["status"]) == {"ok"} and set(found["image"]) == set(IMAGES)
    assert set(zip(found["condition_a"], found["condition_b"])) == {("random", "clean")}
    for image, shape in IMAGES.items():
        target, source = scoring_frame(shape, 0.25), Frame.resized(shape, (7, 6))
        pair = [
            resample(drawn(cell, image, "fox", (7, 6)).astype(np.float32), source, target)
            for cell in reversed(cells)
        ]
        expected = measured(np.stack(pair), [(0, 1)])[0]
        assert found[found["image"] == image]["value"].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_pairs_without_a_fixed_side_are_read_with_their_own_outputs(job):
    inputs, params, cells = job
    params.agreement = {"between": "condition"}
    found = compare_maps.compare(inputs, params, "conditions", cells)
    shape = IMAGES["a"]
    target, source = scoring_frame(shape, 0.25), Frame.resized(shape, (7, 6))
    pair = [
        resample(drawn(cell, "a", label, (7, 6)).astype(np.float32), source, target)
        for cell, label in zip(cells, ("fox", "antant"))
    ]
    expected = measured(np.stack(pair), [(0, 1)])[0]
    assert found[found["image"] == "a"]["value"].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_maps_of_cut_pictures_are_compared_on_what_was_seen(job, tmp_path):
    inputs, params, cells = job
    box = dict.fromkeys(tables.SCHEMAS["boxes"].columns, "") | {"dataset": "d", "image": "a", "index": 0}
    height, width = IMAGES["a"]
    box |= {"kind": "breast", "shape": "rectangle", "certainty": None}
    box |= {"xmin": 0.0, "ymin": height / 4, "xmax": width / 2, "ymax": 1.0 * height}
    tables.write("boxes", pd.DataFrame([box]), tmp_path / "boxes.parquet")
    params.cut_to, inputs.cuts = "breast", [tmp_path / "boxes.parquet"]
    found = compare_maps.compare(inputs, params, "randomisation", cells)
    for image, shape in IMAGES.items():
        target, source = scoring_frame(shape, 0.25), Frame.resized(shape, (7, 6))
        pair = np.stack(
            [
                resample(drawn(cell, image, "fox", (7, 6)).astype(np.float32), source, target)
                for cell in reversed(cells)
            ]
        )
        if image == "a":  # the other was left whole
            rows, columns = target.shape
            pair = pair[:, round(rows / 4) :, : round(columns / 2)]
        expected = measured(pair, [(0, 1)])[0]
        assert found[found["image"] == image]["value"].to_numpy() == pytest.approx(expected, abs=1e-9)


SHIFTED = {"degrees": 0.0, "scale": 1.0, "shear": 0.0, "shift": [0.25, 0.0]}  # a quarter of it to the right


@pytest.fixture
def moved(job, tmp_path):
    """The job with maps of shifted pictures beside the two others: the last cell is of the unaltered ones."""
    inputs, params, cells = job
    cell = MapsOf("d", "m", 0, "shifted", "cam")
    (tmp_path / "shifted").mkdir()
    way = Condition("affine", SHIFTED)
    files = stored(tmp_path / "shifted", cell, (3.0, -3.0), moved=way.placed)
    rows = []
    for image, shape in IMAGES.items():
        frame = Frame.resized(shape, (64, 64))
        row = {"dataset": "d", "image": image, "side": 64, "geometry": "explain", "offset": 0}
        rows.append(row | {"shape": [64, 64], "scale": list(frame.scale), "shift": list(frame.shift)})
    (tmp_path / "pixels.npy").write_bytes(b"")
    tables.write(
        "prepared", pd.DataFrame(rows), tmp_path / "prepared.parquet", values=tmp_path / "pixels.npy"
    )
    inputs.maps, inputs.values, inputs.predictions = (
        [*given, one] for given, one in zip((inputs.maps, inputs.values, inputs.predictions), files)
    )
    inputs.prepared = [tmp_path / "prepared.parquet"]
    params.labels, params.readings, params.sides = params.labels[:1] * 3, params.readings[:1] * 3, [64] * 3
    params.moving = {"shifted": {"kind": "affine", "options": SHIFTED}}
    return inputs, params, [*cells, cell]


def test_what_a_moved_picture_no_longer_shows_is_not_compared(moved):
    inputs, params, cells = moved
    found = compare_maps.compare(inputs, params, "conditions", cells)
    of = found[found["condition_a"] == "shifted"]
    assert set(of["status"]) == {"ok"} and len(of) == len(IMAGES) * len(
        measured(np.eye(4)[None], [(0, 0)])[0]
    )
    for image, shape in IMAGES.items():
        target = scoring_frame(shape, 0.25)
        source = Frame.resized(shape, (7, 6))
        way = Condition("affine", SHIFTED)
        pair = np.stack(
            [
                resample(
                    drawn(cells[2], image, "fox", (7, 6)).astype(np.float32), way.placed(source), target
                ),
                resample(drawn(cells[0], image, "fox", (7, 6)).astype(np.float32), source, target),
            ]
        )
        kept = pair[:, :, : target.shape[1] * 3 // 4]  # its last quarter left the picture
        expected = measured(kept, [(0, 1)])[0]
        rows = of[of["image"] == image]["value"].to_numpy()
        assert rows == pytest.approx(expected, abs=1e-9)
        assert abs(rows - measured(pair, [(0, 1)])[0]).max() > 0.01  # the continued edge had counted


def test_rows_of_conditions_that_move_nothing_are_the_same_beside_one_that_does(moved):
    inputs, params, cells = moved
    beside = compare_maps.compare(inputs, params, "conditions", cells)
    params.moving = {}
    before = compare_maps.compare(inputs, params, "conditions", cells)
    same = beside["condition_a"] == "random"
    pd.testing.assert_frame_equal(beside[same], before[same], check_exact=True)
    assert (beside[~same]["value"] != before[~same]["value"]).all()
