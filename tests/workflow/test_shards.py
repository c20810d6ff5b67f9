"""Work cut into shards: what stands stays, and what is made anew has the bytes and seals of one job."""

import json
from pathlib import Path

WHOLE = "max_skipped: 0.3}"
CUT = "max_skipped: 0.3, shards: 2}"
CELL = "cxr/small/seed0/clean"
MADE = {
    "prepare": "prepared/own/prepared.parquet",
    "attribute": f"maps/{CELL}/gradcam/maps.parquet",
    "probe": f"probes/{CELL}/gradcam.parquet",
    "score": f"scores/{CELL}/gradcam.parquet",
}


def beside(output: Path) -> dict[str, bytes]:
    """Every result and seal in the folder of `output`; what may differ from run to run is not among them."""
    files = (path for path in output.parent.rglob("*") if not path.name.endswith(".costs.json"))
    return {str(path): path.read_bytes() for path in files if path.is_file()}


def test_shards_rerun_nothing_and_make_the_same_bytes_and_seals(project):
    project.edit("study.yaml", WHOLE, CUT)
    assert project.would_run() == {}
    made = {rule: project.results / output for rule, output in MADE.items()}
    before = {rule: beside(output) for rule, output in made.items()}
    costs = made["attribute"].with_name(".maps.parquet.costs.json")
    told = set(json.loads(costs.read_text()))
    for output in made.values():
        whole_folder = output.parent.name in ("own", "gradcam")
        for path in output.parent.glob("*" if whole_folder else "*gradcam*"):
            path.unlink()
    prepared, *others = (f"results/tiny/{output}" for output in MADE.values())
    for wanted in ([prepared], others):
        project.snakemake("--", *wanted)
    for rule, output in made.items():
        assert len(list((project.results / f"logs/{rule}_shard").iterdir())) == 2
        assert beside(output) == before[rule]
    assert set(json.loads(costs.read_text())) == told
    assert project.would_run() == {}
    project.edit("study.yaml", CUT, WHOLE)
    assert project.would_run() == {}
