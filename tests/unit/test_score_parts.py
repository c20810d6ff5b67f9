"""Scores read a few files at a time: the same summaries, contrasts and comparisons to the last bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sightline import comparisons, contrasts, intervals, statistics, tables
from sightline.errors import TableError
from sightline.scores import score_parts

OPTIONS = intervals.Options(resamples=200)
CELLS = [("m", "gradcam"), ("m", "occlusion"), ("n", "gradcam"), ("n", "lime")]
SEEDS, IMAGES = (0, 1, 2), 14


def cell(model: str, method: str, seed: int, random: np.random.Generator) -> pd.DataFrame:
    """Scores of one file; now and then a value is not there, and model n has not scored some images."""
    images = range(IMAGES if model == "m" else IMAGES - 3)
    rows = [
        {"dataset": "d", "model": model, "seed": seed, "condition": condition, "method": method,
         "reading": "signed", "image": f"i{image:02}", "subject": f"s{(image * 7) % 9}", "reference": "gaze",
         "reader": reader, "metric": metric, "center_bias": "image" if metric == "sauc" else "",
         "value": random.normal(), "status": "ok", "reason": None}
        for condition in ("clean", "random")
        for image in images
        for reader in "ab"
        for metric in ("auc", "sauc")
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    lost = random.random(len(table)) < 0.1
    return table.assign(value=table["value"].mask(lost), status=np.where(lost, "undefined", "ok"))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[list[Path], pd.DataFrame, pd.DataFrame]:
    """Files of scores, seeds apart and in no order; all their rows; strata, one of which is a model's own."""
    folder, random = tmp_path_factory.mktemp("scores"), np.random.default_rng(0)
    paths = []
    for seed in SEEDS:
        for model, method in CELLS:
            paths.append(folder / f"{model}.{method}.{seed}.parquet")
            tables.write("scores", cell(model, method, seed, random), paths[-1])
    strata = pd.DataFrame(
        [("d", f"i{at:02}", "kind", "ab"[at % 2], None, None) for at in range(IMAGES)]
        + [("d", f"i{at:02}", "side", "lrx"[at % 3], None, None) for at in range(IMAGES)]
        + [
            ("d", f"i{at:02}", "right", "ny"[(at + seed) % 2], "n", seed)
            for at in range(11)
            for seed in SEEDS
        ],
        columns=["dataset", "image", "stratum", "value", "model", "seed"],
    )
    return paths, tables.read_all("scores", paths), strata


def test_parts_hold_all_files_of_a_model_and_method(study):
    paths, rows, _ = study
    told = []
    parts = list(
        score_parts.Files.of(paths).parts(progress=lambda items, *_: told.append(len(items)) or items)
    )
    assert told == [len(parts)]
    assert (
        sorted(zip([part["model"].iloc[0] for part in parts], [part["method"].iloc[0] for part in parts]))
        == CELLS
    )
    assert all(
        part.groupby(["model", "method"]).ngroups == 1 and part["seed"].nunique() == 3 for part in parts
    )
    assert sum(map(len, parts)) == len(rows)
    assert [len(part) for part in score_parts.Files.of([]).parts()] == [0]


def test_summaries_of_parts_are_those_of_all_rows(study):
    paths, rows, strata = study
    whole = statistics.summarise_strata(rows, strata, interval=OPTIONS)
    parts = statistics.summarise_parts(score_parts.Files.of(paths).parts(), strata, interval=OPTIONS)
    pd.testing.assert_frame_equal(parts, whole, check_exact=True)
    alone = intervals.Options(resamples=200, unit="image")
    pd.testing.assert_frame_equal(
        statistics.summarise_parts(score_parts.Files.of(paths).parts(), None, interval=alone),
        statistics.summarise(rows, interval=alone).drop(columns=["stratum", "level"]),
        check_exact=True,
    )


def test_contrasts_of_parts_are_those_of_all_rows(study):
    paths, rows, strata = study
    clean = rows[rows["condition"] == "clean"]
    whole = contrasts.contrast(clean, strata, options=OPTIONS)
    assert set(whole["stratum"]) == {"kind", "right"}, "three sides, and who is right is known of n alone"
    summary = statistics.summarise_strata(rows, strata, interval=OPTIONS)
    levels = contrasts.levels_of_summary(summary[summary["condition"] == "clean"])
    parts = score_parts.Files.of(paths).parts("clean")
    found = contrasts.contrast_parts(parts, strata, levels, options=OPTIONS)
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


def test_comparisons_need_their_own_sides_alone(study):
    paths, rows, _ = study
    pairs = [("gradcam@m", "gradcam@n"), ("gradcam@m", "gradcam@m+random")]
    assert comparisons.sides(pairs) == {("gradcam", "clean"), ("gradcam", "random")}
    own = score_parts.Files.of(paths).rows(comparisons.sides(pairs))
    assert set(own["method"]) == {"gradcam"}
    some = score_parts.Files.of(paths).rows(comparisons.sides(pairs), lambda part: part[part["seed"] == 0])
    pd.testing.assert_frame_equal(
        some.reset_index(drop=True), own[own["seed"] == 0].reset_index(drop=True), check_exact=True
    )
    pd.testing.assert_frame_equal(
        comparisons.compare(own, pairs, "f", options=OPTIONS),
        comparisons.compare(rows, pairs, "f", options=OPTIONS),
        check_exact=True,
    )


def test_an_image_of_two_subjects_in_two_parts_is_refused(study):
    _, rows, _ = study
    other = rows[rows["model"] == "n"].assign(subject="elsewhere")
    with pytest.raises(TableError, match="more than one subject"):
        statistics.summarise_parts([rows[rows["model"] == "m"], other], None, interval=OPTIONS)
