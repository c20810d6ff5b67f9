"""Only what changed runs again: the acceptance tests of the design's section on reruns."""

import os
import re
import shutil
import time

# explaining anew, and all that follows from maps
EXPLAINING = {
    "attribute", "gather_costs", "summarise_maps", "probe", "score", "compare_maps", "summarise",
    "summarise_agreements",
}  # fmt: skip
TRAINING = {"train", "summarise_classification"}


def _rules(counts: dict[str, int]) -> set[str]:
    return {rule for rule in counts if not rule.startswith(("plot_", "record_"))}


def test_a_second_run_does_nothing(finished):
    assert finished.would_run() == {}


def test_touching_every_file_does_nothing(project):
    later = time.time() + 100
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path, (later, later))
            later += 0.001
    assert project.would_run() == {}


def test_a_fresh_clone_beside_kept_results_and_records_does_nothing(project, finished):
    for name in ("src", "scripts", "rules", "workflow"):
        shutil.rmtree(project.folder / name)
        shutil.copytree(finished.folder / name, project.folder / name, copy_function=shutil.copy)
    assert project.would_run() == {}


def test_comments_docstrings_and_an_undone_edit_do_nothing(project):
    path = "src/sightline/attribution/methods/gradcam.py"
    project.edit(path, '"""', '"""Other words. ')
    (project.folder / "src/sightline/gaze.py").open("a").write("\n# a remark\n")
    assert project.would_run() == {}
    text = (project.folder / path).read_text()
    (project.folder / path).write_text(text + "\nCHANGED = 1\n")
    assert "attribute" in project.would_run()
    (project.folder / path).write_text(text)
    assert project.would_run() == {}


def test_an_edit_in_one_method_reruns_that_method_alone(project):
    (project.folder / "src/sightline/attribution/methods/gradcam.py").open("a").write("\nCHANGED = 1\n")
    counts = project.would_run()
    assert counts["attribute"] == counts["score"] == 2 and counts["probe"] == 1
    assert _rules(counts) == {"plan_costs", *EXPLAINING, "report"}


def test_an_edit_in_a_users_own_method_or_network_reruns_its_own_jobs(project):
    (project.folder / "examples/own_method/methods/gradient_detail.py").open("a").write("\nCHANGED = 1\n")
    counts = project.would_run()
    assert counts["attribute"] == counts["score"] == 1 and "train" not in counts
    (project.folder / "examples/own_method/models/small.py").open("a").write("\nCHANGED = 1\n")
    counts = project.would_run()
    assert counts["attribute"] == counts["train"] == 1


def test_an_edit_in_one_probe_reruns_the_probes_alone(project):
    (project.folder / "src/sightline/attribution/probes/deletion.py").open("a").write("\nCHANGED = 1\n")
    assert _rules(project.would_run()) == {"probe", "summarise", "report"}


def test_a_new_metric_recomputes_scores_and_no_map(project):
    (project.folder / "src/sightline/metrics/similarity.py").open("a").write("\nCHANGED = 1\n")
    assert _rules(project.would_run()) == {
        "score", "score_baselines", "compare_maps", "summarise", "summarise_agreements", "report"
    }  # fmt: skip


def test_a_new_seed_trains_one_model(project):
    project.edit("study.yaml", "seeds: [0]", "seeds: [0, 1]")  # of the run `main`
    counts = project.would_run()
    assert counts["train"] == 1 and counts["attribute"] == 2 and counts["score"] == 2
    others = {"compare_maps", "summarise_agreements"}  # no agreement compares seeds
    assert _rules(counts) == {"plan_costs", *TRAINING, *EXPLAINING - others, "report"}


def test_limits_of_a_method_rerun_its_maps_only_where_passing_one_is_a_result(project):
    gradcam = "gradcam: {kind: gradcam, "
    project.edit("study.yaml", gradcam, gradcam + "limits: {seconds: 500}, ")
    assert _rules(project.would_run()) == {"report"}  # which shows the configuration
    project.edit("study.yaml", "{seconds: 500}", "{seconds: 500, on_excess: record}")
    assert _rules(project.would_run()) == {*EXPLAINING, "report"}


def test_a_study_beyond_its_limits_is_refused_before_it_trains_and_loses_nothing(project):
    project.edit("study.yaml", "seeds: [0]", "seeds: [0, 1]")
    project.edit("study.yaml", "max_skipped: 0.3", "max_skipped: 0.3, max_hours: 1.0e-9")
    done = project.snakemake(check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "limits.max_hours" in said and "gradcam" in said
    assert not (project.results / "models/small/seed1").exists()
    project.edit("study.yaml", "seeds: [0, 1]", "seeds: [0]")
    project.edit("study.yaml", ", max_hours: 1.0e-9", "")
    assert project.would_run() == {}


def test_device_and_workers_rerun_nothing(project):
    assert project.would_run("--set-resources", "train:device=1", "--set-threads", "prepare=2") == {}


def test_jobs_share_the_gpus_of_the_machine(project, tmp_path, monkeypatch):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: Card A (UUID: GPU-a)'\necho 'GPU 1: Card B (UUID: GPU-b)'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    given = ("--dry-run", "--forcerun", "train", "--set-resources", "attribute:device=cpu")
    done = project.snakemake(*given)
    planned = (done.stdout + done.stderr).split("\nrule ")[1:]
    found = {job.partition(":")[0]: re.findall(r"gpu=(\d)", job) for job in planned}
    assert found["train"] == ["1"] and found["attribute"] == ["0"] and found["score"] == []


def test_a_job_that_joins_or_whose_gpu_is_named_in_slurms_words_takes_none_of_the_machines(
    project, monkeypatch
):
    project.edit("study.yaml", "max_skipped: 0.3", "max_skipped: 0.3, shards: {attribute: 2}")
    monkeypatch.setenv("SIGHTLINE_DEVICE", "cuda")
    done = project.snakemake("--dry-run", "--forcerun", "train", "--set-resources", "train:gres=gpu:a100:1")
    planned = (done.stdout + done.stderr).split("\nrule ")[1:]
    found = {job.partition(":")[0]: re.findall(r"[ ,]gpu=(\d)", job) for job in planned}
    assert (found["train"], found["attribute_shard"], found["attribute"]) == (["0"], ["1"], ["0"])


def test_a_recipe_reruns_what_it_enters(project):
    project.edit("study.yaml", "epochs: 1", "epochs: 2")
    assert _rules(project.would_run()) == {*TRAINING, *EXPLAINING, "report"}


def test_results_without_records_and_other_code_are_remade(project):
    shutil.rmtree(project.folder / ".snakemake")
    assert project.would_run() == {}
    (project.folder / "src/sightline/attribution/methods/gradcam.py").open("a").write("\nCHANGED = 1\n")
    counts = project.would_run()
    assert counts["attribute"] == 2
    assert _rules(counts) == {"plan_costs", *EXPLAINING, "report"}


def test_an_adapter_edit_that_yields_the_same_tables_retrains_nothing(project):
    (project.folder / "src/sightline/datasets/mimic_cxr.py").open("a").write("\nCHANGED = 1\n")
    weights = project.results / "models/small/seed0/weights.safetensors"
    before = weights.read_bytes()
    project.snakemake("--until", "train")
    log = (project.results / "logs/train/small.seed0.log").read_text()
    assert "going on after epoch 1" in log and "epoch 1 of 1" not in log
    assert weights.read_bytes() == before


def test_a_moved_data_folder_reruns_nothing(project):
    (project.folder / "elsewhere").rename(project.folder / "moved")
    (project.folder / "data/own").unlink()
    (project.folder / "data/own").symlink_to("../moved/own")
    assert project.would_run() == {}


def test_a_changed_table_of_a_users_folder_reruns_what_reads_it(project):
    table = project.folder / "elsewhere/own/fixations.csv"
    table.write_text(table.read_text().replace(",first,", ",someone,"))
    assert {"read_dataset", "render_gaze", "score_baselines", "summarise"} <= set(project.would_run())
    assert "train" not in project.would_run()
