"""What status, repair and trace say of a study that the workflow made, and of what it would run."""

import json
import os
import re
import subprocess
import sys

from sightline import tables
from sightline.watching import lineage, study_record


def tool(project, module: str, *arguments: str) -> str:
    """What a command-line tool of the project prints, called in its folder."""
    command = [sys.executable, "-m", f"sightline.{module}", *arguments]
    environment = os.environ | {"PYTHONPATH": str(project.folder / "src")}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    return done.stdout


def states(project, *arguments: str) -> dict[str, dict]:
    said = json.loads(tool(project, "status", "results/tiny", "--json", *arguments))
    return {job["name"]: job for job in said["jobs"]}


def test_a_finished_study_is_done_by_its_folder_and_by_its_configuration(finished):
    found = states(finished, "--check")
    assert {job["state"] for job in found.values()} == {"done"} and len(found) > 40
    asked = states(finished, "--configfile", "study.yaml")
    assert asked.keys() == found.keys() and {job["state"] for job in asked.values()} == {"done"}


def test_logs_of_long_jobs_tell_how_far_they_are(finished):
    logs = {
        log: (finished.results / f"logs/{log}.log").read_text() for log in ("render_regions/cxr", "summarise")
    }
    assert re.search(
        r"^render_regions/cxr: images: (\d+) of \1, \S+ per s$", logs["render_regions/cxr"], re.M
    )
    said = re.findall(r"^summarise: models and methods: (\d+) of \1, \S+ per s$", logs["summarise"], re.M)
    assert len(said) == 2  # for the summary and for the contrasts


def test_what_an_edit_makes_stale_is_named_with_the_module_and_what_follows(project):
    (project.folder / "src/sightline/attribution/methods/gradcam.py").open("a").write("\nCHANGED = 1\n")
    project.edit("study.yaml", "resamples: 200", "resamples: 300")
    found = states(project, "--configfile", "study.yaml")
    stale = {name: job["why"] for name, job in found.items() if job["state"] == "stale"}
    maps = "attribute/cxr.small.seed0.clean.gradcam"
    assert stale[maps] == ["made with other code: sightline.attribution.methods.gradcam"]
    assert stale["score/cxr.small.seed0.clean.gradcam"] == [f"follows from {maps}"]
    assert "train/small.seed0" not in stale
    counts = project.would_run()
    ran = [name.partition("/")[0] for name, job in found.items() if job["state"] in ("stale", "to do")]
    assert {rule: ran.count(rule) for rule in ran} == counts


def test_repair_removes_what_came_of_a_changed_file_and_the_next_run_would_make_that(project):
    values = project.results / "maps/cxr/small/seed0/turned/gradcam/values.npy"
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(content)
    said = tool(project, "status", "results/tiny", "--repair")
    removed = re.findall(r"^removed (\S+): ", said, re.M)
    assert removed[0] == "maps/cxr/small/seed0/turned/gradcam/values.npy"
    assert "scores/cxr/small/seed0/turned/gradcam.parquet" in removed and "report.html" in removed
    assert "scores/cxr/small/seed0/clean/gradcam.parquet" not in removed
    assert not any((project.results / path).exists() for path in removed)
    counts = project.would_run()
    assert counts["attribute"] == counts["score"] == counts["report"] == counts["record_provenance"] == 1
    assert "train" not in counts and "probe" not in counts


def test_every_table_is_traced_down_to_upstream_files_or_the_phantom(finished):
    record = json.loads((finished.results / "provenance.json").read_text())
    made = lineage.read(finished.results)
    del made["provenance.json"]
    assert study_record.made(record).keys() == made.keys()
    assert {one["code"] for one in record["jobs"].values()} == set(record["code"])
    files = tables.read("inventory", finished.results / "prepared/own/inventory.parquet")
    digest = study_record.digest_of_all(files["sha256"])
    images = {"files": len(files), "bytes": int(files["bytes"].sum()), "sha256": digest}
    assert record["datasets"]["own"]["images"] == images and len(files) > 2
    said = tool(finished, "trace", "results/tiny/summary.parquet", "--all")
    assert "data/own/images.csv" in said and "make_phantom/cxr" in said and "train/small.seed0" in said
    one = tool(finished, "trace", "results/tiny/summary.parquet", "--row", "dataset=own")
    assert "data/own/images.csv" in one and "cxr" not in one
    assert str(finished.folder) not in (finished.results / "provenance.json").read_text()
