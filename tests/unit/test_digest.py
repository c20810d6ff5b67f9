"""A study's tables as Markdown: the page's numbers, the command in the first line, equal bytes."""

import pandas as pd
import pytest
import yaml

from sightline import tables
from sightline.errors import TableError
from sightline.report import answers, digest, report_tables
from sightline.report.page import Table
from sightline.running import seals
from tests.unit import made_up_study as made_up
from tests.unit import made_up_trust


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "results" / "made_up"
    for name in ("summary", "comparisons", "classification"):
        tables.write(name, getattr(made_up, name)(), folder / f"{name}.parquet")
    tables.write("cohort", made_up.cohort(), folder / "datasets" / "cxr" / "cohort.parquet")
    tables.write("regions", tables.empty("regions"), folder / "references" / "cxr" / "regions.parquet")
    return folder


def test_it_says_its_command_and_holds_the_pages_numbers(study):
    text = digest.digest(study)
    assert text.startswith("Made by `python -m sightline.report.digest results/made_up`.\n")
    for sentence in answers.answer(made_up.summary(), made_up.classification(), made_up.comparisons()):
        assert f"- {sentence}" in text
    for table in (
        *report_tables.scores_tables(made_up.summary()),
        report_tables.cohort_table(made_up.cohort()),
    ):
        assert digest.markdown(table) in text
    titles = ["Images", "Classification", "Scores", "Leaving the image out of the center bias", "Comparisons"]
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == titles
    assert str(study.parent.parent) not in text


def test_it_is_printed_and_equal_each_time(study, capsys):
    for _ in range(2):
        digest.main([str(study)])
    printed = capsys.readouterr().out
    assert printed == 2 * printed[: len(printed) // 2] and printed.endswith("|\n")


def test_the_center_bias_is_that_of_the_summarys_record(study):
    assert digest.primary_center_bias(study) is None
    strictest = digest.digest(study)
    params = {"statistics": {"primary_center_bias": "none"}}
    seals.seal([study / "summary.parquet"], {"params": params})
    assert digest.primary_center_bias(study) == "none"
    pooled = digest.digest(study)
    assert digest.markdown(report_tables.scores_tables(made_up.summary(), "none")[0]) in pooled != strictest


def test_a_configuration_gives_its_order(study, tmp_path):
    chosen = {
        "datasets": {"cxr": {}},
        "references": {"gaze": {}},
        "models": {"sononet": {}, "ag_sononet": {}},
        "methods": {"gradcam": {"readings": ["weighted", "uniform"]}},
    }
    config = tmp_path / "made_up.yaml"
    config.write_text(yaml.safe_dump(chosen, sort_keys=False))
    text = digest.digest(study, config)
    assert text.startswith(
        "Made by `python -m sightline.report.digest results/made_up config/made_up.yaml`.\n"
    )
    assert "; Grad-CAM (weighted) of sononet has 0.5" in text
    assert "; Grad-CAM (weighted) of sononet has 0.5" not in digest.digest(study)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(TableError, match="finished study"):
        digest.digest(tmp_path)


def test_markdown_aligns_numbers_and_escapes_marks():
    frame = pd.DataFrame({"Name": ["a|b_c"], "Value": ["0.5 [0.4, 0.6]"]})
    told = digest.markdown(Table("", frame, frozenset({"Name"})))
    assert told == "| Name | Value |\n| :-- | --: |\n| a\\|b\\_c | 0.5 [0.4, 0.6] |"
    assert digest.markdown(Table("", frame.iloc[:0])) == "None."


def test_trust_in_maps_is_told_with_its_tables_and_bars_in_names_break_no_table(study, tmp_path):
    tables.write("summary", made_up_trust.summary(), study / "summary.parquet")
    agreed = made_up_trust.agreements()
    agreed.loc[agreed["metric"] == "ssim", "metric"] = "spearman_abs"
    tables.write("agreement_summary", agreed, study / "agreement_summary.parquet")
    tables.write("map_summary", made_up_trust.maps(), study / "map_summary.parquet")
    methods = {name: {"readings": [reading]} for name, reading in made_up_trust.READINGS.items()}
    chosen = {
        "datasets": {"cxr": {}},
        "models": {"sononet": {}},
        "conditions": {"clean": {"kind": "clean"}, "random": {"kind": "randomise"}},
        "methods": methods,
        "references": {"gaze": {}},
        "runs": {"a": {"datasets": ["cxr"], "models": ["sononet"], "methods": list(methods)}},
    }
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(chosen, sort_keys=False))
    text = digest.digest(study, config)
    part = text.split("## Can the maps be trusted?")[1].split("## Images")[0]
    assert "With random weights" in part and "| Occlusion | 0.240 [0.220, 0.260] |" in part
    assert "With random weights" in text.split("##")[0]
    seeds = next(line for line in part.splitlines() if line.startswith("| Map | Spearman |"))
    assert seeds == "| Map | Spearman | Spearman, \\|map\\| | n |"
