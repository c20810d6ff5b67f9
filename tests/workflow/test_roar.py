"""ROAR as a chain of jobs: explain, mask, train anew, evaluate."""

import pandas as pd

from sightline.prepared import open_store

CONDITION = """training_conditions:
  roar50: {kind: mask_by_map, model: small, method: gradcam, reading: weighted, fraction: 0.5}
models:
  masked:
    training_condition: roar50
    architecture: {name: sononet16}
    train_on: cxr
    labels: two
    recipe: one_epoch
"""


def test_a_model_is_trained_on_what_another_ones_maps_leave(project):
    project.edit("study.yaml", "models:\n", CONDITION)
    counts = project.would_run()
    assert counts["mask_images"] == counts["train"] == 1 and "summarise_classification" in counts
    assert not {"attribute", "score", "prepare"} & set(counts)
    project.snakemake("--until", "train", "--cores", "1")
    folders = [project.results / "prepared/cxr", project.results / "masked/masked/seed0"]
    before, after = (open_store(folder / "prepared.parquet", folder / "pixels.npy") for folder in folders)
    for geometry in ("train", "explain"):
        assert before.images(32, geometry) == after.images(32, geometry) != []
    for image in before.images(32, "train"):
        gone = before.get(image, 32, "train") != after.get(image, 32, "train")
        assert 0.47 < gone.mean() <= 0.5  # of those that go, a few are of the mean grey
    said = pd.read_parquet(project.results / "models/masked/seed0/predictions.parquet")
    usual = pd.read_parquet(project.results / "models/small/seed0/predictions.parquet")
    assert set(said["model"]) == {"masked"} and set(said["image"]) == set(usual["image"])
    assert "mask_images" not in project.would_run()
    (project.folder / "src/sightline/attribution/methods/gradcam.py").open("a").write("\nCHANGED = 1\n")
    counts = project.would_run()
    assert counts["mask_images"] == counts["train"] == 1  # not the model that is explained
