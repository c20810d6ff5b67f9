"""ROAR as a chain of jobs: explain, mask, train anew, evaluate."""

import numpy as np
import pandas as pd

CONDITION = """training_conditions:
  roar50: {kind: mask_by_map, model: small, method: gradcam, reading: weighted, fraction: 0.5}
models:
  masked: {architecture: {name: sononet16}, train_on: cxr, labels: two, recipe: one_epoch, training_condition: roar50}
"""


def test_a_model_is_trained_on_what_another_ones_maps_leave(project):
    project.edit("study.yaml", "models:\n", CONDITION)
    counts = project.would_run()
    assert counts["mask_images"] == counts["train"] == 1 and "summarise" in counts
    assert not {"attribute", "score", "prepare"} & set(counts)
    project.snakemake("--until", "train", "--cores", "1")
    folders = [project.results / "prepared/cxr", project.results / "masked/masked/seed0"]
    before, after = (np.load(folder / "pixels.npy") for folder in folders)
    rows, held = (pd.read_parquet(folder / "prepared.parquet") for folder in folders)
    assert sorted(zip(rows["geometry"], rows["image"])) == sorted(zip(held["geometry"], held["image"]))
    assert before.size == after.size and 0.3 < (before != after).mean() < 0.55
    said = pd.read_parquet(project.results / "models/masked/seed0/predictions.parquet")
    usual = pd.read_parquet(project.results / "models/small/seed0/predictions.parquet")
    assert set(said["model"]) == {"masked"} and set(said["image"]) == set(usual["image"])
    assert "mask_images" not in project.would_run()
    (project.folder / "src/sightline/attribution/methods/gradcam.py").open("a").write("\nCHANGED = 1\n")
    counts = project.would_run()
    assert counts["mask_images"] == counts["train"] == 1  # not the model that is explained
