"""A small study with a planted answer, from masks to the sentence on its page, by the rules' scripts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scripts import average_references, score_baselines, summarise

from sightline import arrays, regions, strata, tables
from sightline.datasets import dataset
from sightline.frames import Frame, scoring_frame, shown
from sightline.metrics.localisation import mass_inside
from sightline.outcomes import MapsOf
from sightline.preparing import grids, preparation
from sightline.report import facts, prediction_answers
from sightline.scores import references, scoring
from sightline.scores.saliency import Saliency, cut_out, part_seen, within

SHAPE, SCALE, IMAGES, SEEDS = (96, 72), 0.25, 40, 2
LABELS = ["benign", "malignant"]
REFERENCES = {
    "lesion": {"of": "lesion", "center_bias": True},
    "rest": {"of": "breast", "minus": "lesion"},
    "outside": {"of": "breast", "minus": "lesion", "outside": True},
}
METRICS = ["mass_inside", "sauc", "sncc", "auc", "ncc", "pointing_game", "iou_otsu", "iou_tuned"]
IN_LESION = {"correct": 0.6, "wrong": 0.001}  # the planted share of a map's mass; outside the breast 0.1
OUTSIDE = 0.1


class Named(dict):
    """Paths with names, as Snakemake hands to scripts."""

    __getattr__ = dict.__getitem__


def drawn(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A breast, and a lesion in it: each tenth a speck of one pixel."""
    y, x = np.indices(SHAPE)
    breast = (x / 58) ** 2 + ((y - 48) / 44) ** 2 < 1
    random = np.random.default_rng(index)
    row, column = random.integers(30, 66), random.integers(4, 34)
    if index % 10 == 0:
        return breast, (y == row) & (x == column)
    return breast, np.hypot(y - row, x - column) < random.uniform(4, 9)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The tables of the dataset and of its references, made as the rules make them."""
    root = tmp_path_factory.mktemp("mine")
    rows, boxes = [], []
    for index in range(IMAGES):
        breast, lesion = drawn(index)
        for kind, mask in (("breast", breast), ("lesion", lesion)):
            path = root / "masks" / kind / f"i{index:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 255).save(path)
        Image.fromarray((breast * 90 + lesion * 60).astype(np.uint8)).save(root / f"i{index:02d}.png")
        rows.append((f"i{index:02d}", f"i{index:02d}.png", f"s{index // 2}", "test"))
        boxes.append((f"i{index:02d}", "breast", 0, 4, 58, 92))
    pd.DataFrame(rows, columns=["image", "path", "subject", "split"]).to_csv(root / "images.csv", index=False)
    columns = ["image", "kind", "xmin", "ymin", "xmax", "ymax"]
    pd.DataFrame(boxes, columns=columns).to_csv(root / "boxes.csv", index=False)
    found = dataset.read("mine", root, "tidy", {}, {})
    paths = Named()
    for name in ("images", "boxes", "strata"):
        paths[name] = root / f"{name}.parquet"
        tables.write(name, getattr(found, name), paths[name])
    paths["boxes"] = [paths["boxes"]]
    rows, values = regions.render(REFERENCES, found.boxes, found.masks, found.images, root, SCALE)
    rows["offset"] = _stored(paths, root, "region_values", "uint8", values)
    nothing = tables.empty("gaze")
    _stored(paths, root, "gaze_values", "float32", [])
    prepared = found.images[["dataset", "image"]].assign(
        side=32, geometry="explain", offset=0, shape=[[1, 1]] * IMAGES, scale=[[1.0] * 2] * IMAGES,
        shift=[[0.0] * 2] * IMAGES,
    )  # fmt: skip
    for name, table in (("regions", rows), ("gaze", nothing), ("prepared", prepared)):
        paths[name] = root / f"{name}.parquet"
        tables.write(name, table, paths[name])
    params = SimpleNamespace(
        box="breast", leave_out=["image", "subject"], scale=SCALE, regions={"lesion": []},
        study_seed=0, baselines=["center_bias", "hull", "uniform_noise"], metrics=METRICS,
        references={name: {"kind": "region", **one} for name, one in REFERENCES.items()},
    )  # fmt: skip
    biases, maps = average_references.place(paths, params)
    _stored(paths, root, "center_bias_values", "float32", maps)
    paths["center_bias"] = root / "center_bias.parquet"
    tables.write("center_bias", biases, paths["center_bias"])
    return root, paths, params


def _stored(paths: Named, root, name: str, kind: str, values) -> list[int | None]:
    paths[name] = root / f"{name}.npy"
    with arrays.Writer(paths[name], kind) as store:
        return [None if one is None else store.append(one) for one in values]


def predictions() -> pd.DataFrame:
    """Right about seven images of ten, other ones under each seed."""
    rows = []
    for seed in range(SEEDS):
        wrong = np.random.default_rng(100 + seed).random(IMAGES) < 0.3
        for index in range(IMAGES):
            true = index % 2
            said = 1 - true if wrong[index] else true
            image = {"seed": seed, "image": f"i{index:02d}"}
            for at, label in enumerate(LABELS):
                rows.append(image | {"label": label, "logit": float(said == at), "value": float(true == at)})
    return pd.DataFrame(rows).assign(dataset="mine", model="vit", condition="clean")


def planted(parts: dict[str, np.ndarray], level: str, image: str, seed: int) -> np.ndarray:
    """A map with the planted shares in lesion, outside and rest; rough, so that it has one maximum."""
    shares = {"lesion": IN_LESION[level], "outside": OUTSIDE, "rest": 1 - OUTSIDE - IN_LESION[level]}
    rough = np.random.default_rng([int(image[1:]), seed]).uniform(0.5, 1, parts["lesion"].shape)
    return sum(share * (rough * parts[name]) / (rough * parts[name]).sum() for name, share in shares.items())


@pytest.fixture(scope="module")
def study(files, tmp_path_factory):
    """summary and contrasts, by the rules' scripts from planted maps."""
    root, paths, params = files
    opened = references.opened(references.Files.among(paths), params.references, params.leave_out)
    masks = {reference.name: reference.mask for reference in opened}
    levels = strata.of_predictions(predictions(), {"vit": LABELS}, ["malignant"])
    sizes = strata.of_sizes(tables.read("regions", paths.regions), ["lesion"])
    said = levels[levels["stratum"] == "prediction"].set_index(["image", "seed"])["value"]
    images, scores = tables.read("images", paths.images), []
    for seed in range(SEEDS):

        def saliency(image: str, reading: str, seed: int = seed) -> np.ndarray:
            parts = {name: mask(image) > 0 for name, mask in masks.items()}
            return planted(parts, said[image, seed], image, seed).astype(np.float32)

        of = MapsOf("mine", "vit", seed, "clean", "gradcam")
        scores.append(scoring.score(of, images, ["signed"], saliency, opened, METRICS))
    inputs = Named(
        scores=[root / "scores.parquet"], probes=[], baselines=[root / "baselines.parquet"],
        strata=[root / "derived.parquet"],
    )  # fmt: skip
    tables.write("scores", pd.concat(scores), inputs.scores[0])
    tables.write("scores", score_baselines.score(paths, params), inputs.baselines[0])
    tables.write("strata", pd.concat([levels, sizes]), inputs.strata[0])
    outputs = Named({name: root / f"{name}.parquet" for name in ("summary", "comparisons", "contrasts")})
    chosen = {
        "strata": ["prediction", "outcome", "lesion_size"], "interval": "crossed_bootstrap", "resamples": 500,
        "level": 0.95, "primary_center_bias": "image", "comparisons": {},
    }  # fmt: skip
    summarise.summarise(inputs, outputs, chosen, 0)
    return tables.read("summary", outputs.summary), tables.read("contrasts", outputs.contrasts)


def test_every_lesion_is_there_the_specks_too(files):
    _, paths, _ = files
    rows = tables.read("regions", paths.regions)
    assert set(rows["status"]) == {"ok"} and len(rows) == 3 * IMAGES
    shares = rows.pivot(index="image", columns="kind", values="area_share").sum(axis=1)
    assert shares.tolist() == pytest.approx([1.0] * IMAGES)  # the parts are the image
    height, width = scoring_frame(SHAPE, SCALE).shape
    speck = rows[(rows["kind"] == "lesion") & (rows["image"] == "i10")]["area_share"].iloc[0]
    assert speck == 1 / (height * width)


def test_the_summary_holds_what_was_planted(study):
    summary, contrasts = study
    maps = summary[(summary["stratum"] == "prediction") & (summary["metric"] == "mass_inside")]
    at = maps.set_index(["reference", "level"])["mean"]
    for level, share in IN_LESION.items():
        assert at["lesion", level] == pytest.approx(share, abs=1e-5)
        assert at["outside", level] == pytest.approx(OUTSIDE, abs=1e-5)
        assert at["rest", level] == pytest.approx(1 - OUTSIDE - share, abs=1e-5)
    found = contrasts[(contrasts["stratum"] == "prediction") & (contrasts["reference"] == "lesion")]
    found = found.set_index("metric")
    assert found.loc["mass_inside", "difference"] == pytest.approx(0.599, abs=1e-5)
    assert found.loc["sauc", "low"] > 0.1 and set(found["seeds"]) == {SEEDS}
    outcomes = set(summary[summary["stratum"] == "outcome"]["level"])
    assert outcomes == set(strata.OUTCOMES.values())
    assert summary[summary["stratum"] == "lesion_size"]["level"].nunique() == 3


def test_shuffled_scores_beat_chance_where_the_map_finds_the_lesion(study):
    summary, _ = study
    rows = summary[
        (summary["metric"] == "sauc") & (summary["reference"] == "lesion") & (summary["stratum"] == "")
    ]
    means = rows.set_index(["method", "center_bias"])["mean"]
    for leave_out in ("image", "subject"):
        assert means["gradcam", leave_out] > 0.7
        assert means["uniform_noise", leave_out] == pytest.approx(0.5, abs=0.06)
        assert means["center_bias", leave_out] < 0.62  # the average of all lesions earns little
    assert set(rows["method"]) >= {"gradcam", "center_bias", "center_bias_subject"}


def test_the_baseline_is_scored_against_each_region_it_has_a_map_for(study):
    summary, _ = study
    rows = summary[(summary["method"] == "center_bias") & (summary["stratum"] == "")]
    images = rows.groupby("reference")["images"].max()
    assert images["lesion"] == IMAGES and images["rest"] == images["outside"] == 0
    assert summary[summary["method"] == "hull"]["images"].max() == 0  # a study without lungs


def test_a_study_answers_both_questions(study):
    summary, contrasts = study
    plan = facts.Plan(
        [("mine", name) for name in REFERENCES],
        [("vit", "gradcam", "signed")],
        {},
        {"lesion": ["rest", "outside"]},
    )
    (told,) = prediction_answers.answers(summary, contrasts, plan, {}, "image")
    assert "0.6000 [0.6000, 0.6000] of its mass lies inside" in told
    assert "Of its mass when the model is wrong: 0.8990 [0.8990, 0.8990] in rest and 0.1000" in told


def test_the_masks_of_the_study_are_those_of_its_files(files):
    """The whole way from a file to a score: the mass of an even map in a lesion is the lesion's share."""
    _, paths, params = files
    (lesion, *_) = references.opened(references.Files.among(paths), params.references, params.leave_out)
    mask = lesion.mask("i03")
    assert mass_inside(np.ones(mask.shape), mask > 0) == pytest.approx(mask.mean())
    assert abs(mask.sum() - SCALE**2 * drawn(3)[1].sum()) < 3  # a disc of seven pixels


def test_what_a_model_did_not_see_holds_nothing_of_its_map(tmp_path):
    """A map of a cut picture: its edge must not go on over the rest of the image."""
    shape, row = (40, 60), dict.fromkeys(tables.SCHEMAS["maps"].columns)
    cut = Frame.of_image(shape).cropped((8, 4), (24, 32)).then(Frame.resized((24, 32), (6, 8)))
    with arrays.Writer(tmp_path / "values.npy", np.float32) as store:
        row |= {"dataset": "d", "model": "m", "seed": 0, "condition": "clean", "method": "cam", "image": "a",
                "target": "x", "source": "last", "status": "ok", "signed": True, "all_zero": False,
                "non_finite": 0, "offset": store.append(np.ones((6, 8))), "shape": [6, 8],
                "scale": list(cut.scale), "shift": list(cut.shift)}  # fmt: skip
    tables.write("maps", pd.DataFrame([row]), tmp_path / "maps.parquet", values=tmp_path / "values.npy")
    said = {"dataset": "d", "model": "m", "seed": 0, "condition": "clean", "image": "a", "label": "x"}
    tables.write(
        "predictions", pd.DataFrame([said | {"logit": 1.0, "value": 1.0}]), tmp_path / "said.parquet"
    )
    box = dict.fromkeys(tables.SCHEMAS["boxes"].columns, "") | {"dataset": "d", "image": "a", "index": 0}
    box |= {"shape": "rectangle", "certainty": None, "xmin": 4.5, "ymin": 8.0, "xmax": 35.5, "ymax": 31.2}
    boxes = [box | {"kind": "breast"}, box | {"kind": "chest", "xmin": 0.0}]
    tables.write("boxes", pd.DataFrame(boxes), tmp_path / "boxes.parquet")
    paths = [tmp_path / name for name in ("maps.parquet", "values.npy", "said.parquet")]
    reading, frame = {"one": {"classes": "x", "clip": "none"}}, scoring_frame(shape, 0.5)
    whole = Saliency(*paths, ["x"]).get("a", reading, frame)["one"]
    assert (whole == 1).all()  # as where pictures are whole
    for cut_to, expected in (("breast", 12 * 16), (None, whole.size)):
        images = pd.DataFrame({"image": ["a"], "height": shape[0], "width": shape[1]})
        seen = part_seen(images, cut_to, [tmp_path / "boxes.parquet"])
        found = Saliency(*paths, ["x"], seen).get("a", reading, frame)["one"]
        assert found.sum() == expected and found[4:16, 2:18].all()


@pytest.mark.parametrize("fit", grids.FITS)
def test_what_pads_a_cut_picture_was_not_seen(tmp_path, fit):
    """The square around a narrow breast lies over parts of the image that the model did not get."""
    shape, pixels = (200, 150), np.zeros((200, 150), np.uint8)
    pixels[20:180, :60] = 150
    Image.fromarray(pixels).save(tmp_path / "a.png")
    how = preparation.Preparation(fit=fit, find="breast", crop=True)
    decoded = preparation.decode_image(preparation.Job("a.png", shape, "explain"), tmp_path, [64], how)
    left, top, right, bottom = decoded.tissue.window
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), decoded.tissue.box)) | {"image": "a", "kind": "breast"}
    seen = cut_out(pd.DataFrame([box]), "breast", {"a": shape, "b": shape})
    inside = np.zeros(shape, bool)
    inside[top:bottom, left:right] = True
    whole = Frame.of_image(shape)
    assert (shown(seen("a"), whole) == inside).all()
    # the pixels that the model takes reach beyond it where they are padded
    assert (shown(decoded.frames[0], whole) & ~inside).any() == (fit != "stretch")
    assert shown(seen("b"), whole).all()  # nothing was found in it
    part = within(scoring_frame(shape, 0.5), seen("a"))
    assert np.abs(np.array(part.shape) - ((bottom - top) / 2, (right - left) / 2)).max() <= 1
    assert shown(seen("a"), part).all() and part.scale == scoring_frame(shape, 0.5).scale
