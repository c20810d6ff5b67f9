"""Artefacts and the autoencoder as jobs: made beside a finished study, and remade only where they change."""

import json

import pandas as pd

from sightline.attribution import artifact

ARTIFACTS = """artifacts:
  plane: {kind: feature_projection, models: [small], projections: [pca]}
  weights: {kind: filters, models: [own, small]}
  regions: {kind: network_dissection, models: [small], regions: [heart]}
vae: {epochs: 1, width: 2, depth: 2}
methods:
  rebuilt: {kind: vae_reconstruction, readings: [attention]}
"""
RUN = """runs:
  rebuilt: {models: [small], seeds: [0], datasets: [cxr], methods: [rebuilt]}
"""


def test_artifacts_and_an_autoencoder_beside_a_finished_study(project):
    project.edit("study.yaml", "methods:\n", ARTIFACTS)
    project.edit("study.yaml", "runs:\n", RUN)
    counts = project.would_run()
    expected = {"make_artifacts": 4, "plot_artifacts": 4, "train_vae": 1, "attribute": 1}
    assert {rule: counts[rule] for rule in expected} == expected
    assert not {"train", "prepare"} & set(counts)
    project.snakemake("--until", "plot_artifacts", "attribute")

    def made(name: str, model: str = "small"):
        folder = project.results / f"artifacts/cxr/{model}/seed0/{name}"
        return artifact.read(folder / "artifacts.parquet", folder / "values.npy")

    (plane,) = made("plane")
    images = pd.read_parquet(project.results / "datasets/cxr/images.parquet")
    assert sorted(plane.facts["points"]) == sorted(images[images["split"] == "test"]["image"])
    assert made("weights", "own")[0].kind == "images"
    assert made("regions") == "the dataset has no region heart"
    captions = project.results / "figures/artifacts.cxr.small.seed0.regions.captions.json"
    ((_, caption, restricted, _),) = json.loads(captions.read_text())["artifacts"]
    assert caption.endswith("because the dataset has no region heart.")
    assert not restricted
    maps = pd.read_parquet(project.results / "maps/cxr/small/seed0/clean/rebuilt/maps.parquet")
    assert set(maps["status"]) == {"ok"}
    assert set(maps["source"]) == {"input"}

    project.edit("study.yaml", "epochs: 1, width: 2,", "epochs: 2, width: 2,")
    counts = project.would_run()
    assert counts["train_vae"] == counts["attribute"] == 1
    assert "make_artifacts" not in counts
    project.edit("study.yaml", "projections: [pca]", "projections: [tsne]")
    assert project.would_run()["make_artifacts"] == 1
