"""The smallest study's results, and bad input on the way to them."""

import hashlib
import re

import pandas as pd

from tests.workflow.conftest import CANARY


def _digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".parquet", ".npy", ".svg", ".html", ".safetensors"}
        and path.name not in {"costs.parquet", "planned_costs.parquet"}  # seconds differ from run to run
    }


def test_every_map_reading_reference_and_metric_has_a_row(finished):
    scores = pd.read_parquet(finished.results / "scores/cxr/small/seed0/clean/gradcam.parquet")
    gaze = pd.read_parquet(finished.results / "references/cxr/gaze.parquet")
    images = pd.read_parquet(finished.results / "datasets/cxr/images.parquet")
    evaluated = images[(images["split"] == "test") & images["evaluated"]]
    rows = scores[(scores["reference"] == "gaze") & (scores["metric"] == "sauc")]
    readings = gaze[gaze["image"].isin(evaluated["image"])]
    assert sorted(zip(rows["image"], rows["reader"])) == sorted(zip(readings["image"], readings["reader"]))
    assert set(scores["metric"]) == {
        "ncc",
        "sncc",
        "auc",
        "sauc",
        "mass_inside",
        "mass_over_area",
        "pointing_game",
    }
    assert scores["value"].notna().equals(scores["status"] == "ok")


def test_a_method_that_does_not_suit_the_network_says_so_in_every_row(finished):
    maps = pd.read_parquet(finished.results / "maps/cxr/small/seed0/clean/absent/maps.parquet")
    scores = pd.read_parquet(finished.results / "scores/cxr/small/seed0/clean/absent.parquet")
    assert set(maps["status"]) == set(scores["status"]) == {"not_applicable"}
    assert maps["reason"].str.contains("'am1'").all()
    summary = pd.read_parquet(finished.results / "summary.parquet")
    absent = summary[(summary["method"] == "absent") & (summary["stratum"] == "")]
    assert absent["mean"].isna().all() and absent["excluded_why"].str.contains("not_applicable").all()


def test_what_explaining_took_is_kept_apart(finished):
    costs = pd.read_parquet(finished.results / "costs.parquet").set_index(["model", "condition", "method"])
    assert (
        costs.loc[("small", "clean", "gradcam"), "maps"]
        == 2 * costs.loc[("small", "clean", "gradcam"), "images"]
    )
    assert costs.loc[("small", "clean", "absent"), "maps"] == 0
    assert costs["seconds"].gt(0).all() and costs["peak_bytes"].gt(1e8).all()
    assert costs["seconds_per_map"].notna().equals(costs["maps"] > 0)


def test_maps_of_a_turned_film_agree_with_those_of_the_film_after_turning_back(finished):
    found = pd.read_parquet(finished.results / "agreements/cxr/turned.parquet")
    assert set(found["condition_a"]) | set(found["condition_b"]) == {"clean", "turned"}
    assert found["value"].notna().equals(found["status"] == "ok") and (found["status"] == "ok").any()


def test_a_users_own_folder_is_scored_and_its_broken_film_named(finished):
    scores = pd.read_parquet(finished.results / "scores/own/baselines.parquet")
    between = scores[(scores["method"] == "interobserver") & (scores["metric"] == "ncc")]
    assert set(between["status"]) == {"ok"} and set(between["reader"]) == {"first", "second"}
    assert set(between["image"]) == {"a", "b", "c", CANARY}
    skipped = pd.read_parquet(finished.results / "prepared/own/skipped.parquet")
    assert list(skipped["item"]) == ["d"] and "films/d.png" in skipped["reason"][0] + skipped["path"][0]


def test_the_page_is_whole(finished):
    page = (finished.results / "report.html").read_text()
    assert "<svg" in page and "sAUC" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)


def test_too_many_refused_films_stop_the_study_before_training(project):
    project.edit("study.yaml", "max_skipped: 0.3", "max_skipped: 0.1")
    done = project.snakemake("--until", "train", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "max_skipped" in said and "own" in said and "films/d.png" in said
    assert (project.results / "prepared/cxr/prepared.parquet").exists()


def test_two_runs_and_a_run_by_one_core_give_the_same_bytes(project):
    before = _digests(project.results)
    project.snakemake("--cores", "1", "--forcerun", "make_phantom")
    assert _digests(project.results) == before


def test_a_truncated_intermediate_is_noticed_and_named(project):
    values = project.results / "maps/cxr/small/seed0/clean/gradcam/values.npy"
    values.write_bytes(values.read_bytes()[:-100])
    done = project.snakemake("--forcerun", "score", "--until", "score", check=False)
    assert done.returncode != 0
    assert "gradcam/values.npy" in done.stdout + done.stderr and "delete" in done.stdout + done.stderr


def test_an_unknown_key_is_refused_before_anything_runs(project):
    project.edit("study.yaml", "scores: {scale", "scores: {size")
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0
    assert "scores.size" in done.stdout + done.stderr and "scale" in done.stdout + done.stderr
