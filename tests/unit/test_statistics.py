"""Summaries: the paper's tables from the authors' rows, hand-made groups, strata, exclusions, bad rows."""

import numpy as np
import pandas as pd
import pytest

from sightline import intervals, published, statistics, tables
from sightline.errors import ConfigError, TableError
from sightline.statistics import summarise, summarise_strata

COLUMNS = {  # the authors' column -> (model, method)
    "score_interobserver": ("", "interobserver"),
    "score_convex": ("", "hull"),
    "score_sono": ("sononet", "gradcam"),
    "score_ag": ("ag_sononet", "gradcam"),
    "score_am1": ("ag_sononet", "am1"),
    "score_am2": ("ag_sononet", "am2"),
}
FAST = intervals.Options(resamples=500)


def as_scores(wide: pd.DataFrame) -> pd.DataFrame:
    """The authors' rows in the columns of table 'scores'; baselines once per seed, as they are there."""
    wide = wide.assign(image=wide["phase"].astype(str) + "_" + wide["trial"].astype(str))
    wide["reader"] = wide.groupby(["mixing", "image", "metric", "seed"]).cumcount().astype(str)
    keys = ["mixing", "image", "metric", "seed", "reader"]
    long = wide.melt(keys, list(COLUMNS), var_name="column")
    long["model"], long["method"] = (
        long["column"].map(lambda name, at=at: COLUMNS[name][at]) for at in (0, 1)
    )
    gradcam = long["method"] == "gradcam"
    # Tables 1 and 2 take all but Grad-CAM from the thresholded run
    long = long[gradcam | (long["mixing"] == "thresholded") | (wide["mixing"].nunique() == 1)].copy()
    maps = {"gradcam": long["mixing"], "am1": "attention", "am2": "attention"}
    long["reading"] = ""
    for method, reading in maps.items():
        long["reading"] = long["reading"].mask(long["method"] == method, reading)
    long["center_bias"] = np.where(long["metric"].str.startswith("s"), "none", "")
    long = long.assign(
        dataset="cxr", condition="clean", reference="gaze", subject=long["image"], status="ok", reason=None
    )
    return long[list(tables.SCHEMAS["scores"].columns)]


@pytest.fixture(scope="module")
def paper(golden):
    wide = pd.read_csv(golden / "published" / "paper_scores_27300rows.csv.gz").rename(
        columns={"model": "seed"}
    )
    return as_scores(wide)


@pytest.fixture(scope="module")
def paper_split(golden):
    name = "paper_scores_uniform_with_abnormal_majority.csv.gz"
    wide = pd.read_csv(golden / "published" / name).rename(columns={"model number": "seed"})
    wide["mixing"] = "uniform"
    image = wide["phase"].astype(str) + "_" + wide["trial"].astype(str)
    strata = pd.DataFrame({"dataset": "cxr", "image": image, "stratum": "abnormal_authors"})
    strata["value"] = np.where(wide["abnormal_majority"] == 1, "abnormal", "normal")
    return as_scores(wide), strata.drop_duplicates().assign(model=None, seed=None)


def printed(frame: pd.DataFrame, suffix: str = "") -> pd.Series:
    return frame.apply(
        lambda row: " ".join(f"{row[column + suffix]:.3f}" for column in ("mean", "low", "high")), axis=1
    ).str.replace("-0.000", "0.000", regex=False)


def beside(summary: pd.DataFrame, figures: pd.DataFrame) -> pd.DataFrame:
    keys = ["method", "model", "reading", "reference", "metric", "center_bias", "stratum", "level"]
    both = figures.merge(summary, on=keys, suffixes=("_paper", ""), validate="one_to_one")
    assert len(both) == len(figures)
    return both


def test_tables_1_and_2_of_the_paper_come_out_to_the_printed_digit(paper):
    summary = summarise(paper, interval="pooled_normal")
    figures = published.figures()
    both = beside(summary, figures[figures["table"] != "Table 3"])
    assert len(both) == 40  # x 3 numbers
    assert printed(both).tolist() == printed(both, "_paper").tolist()
    assert (both["images"] == 91).all() and (both["rows"] == 2275).all() and (both["seeds"] == 5).all()
    tables.conform("summary", summary, "test")


def test_table_3_of_the_paper_comes_out_to_the_printed_digit(paper_split):
    summary = summarise_strata(*paper_split, interval="pooled_normal")
    figures = published.figures()
    both = beside(summary, figures[figures["table"] == "Table 3"])
    assert printed(both).tolist() == printed(both, "_paper").tolist()
    assert (both["images"] == both["n"]).all()
    tables.conform("summary", summary, "test")
    assert (summary.loc[summary["stratum"] == "", "images"] == 91).all()


def test_all_cells_against_the_closed_form(paper):
    summary = summarise(paper, interval="pooled_normal").set_index(list(statistics.BY))
    for key, rows in paper.groupby(list(statistics.BY)):
        half = 1.96 * rows["value"].std(ddof=1) / np.sqrt(91)
        expected = [rows["value"].mean(), rows["value"].mean() - half, rows["value"].mean() + half]
        np.testing.assert_allclose(
            summary.loc[key, ["mean", "low", "high"]].astype(float), expected, rtol=1e-12
        )
        assert summary.loc[key, "sd"] == pytest.approx(rows["value"].std(ddof=1), rel=1e-12)


def test_the_default_interval_of_the_paper_rows_says_how_it_was_made(paper):
    found = summarise(paper[paper["method"] == "gradcam"], interval=FAST)
    assert found["interval"].unique().tolist() == [
        "95% crossed bootstrap, 500 resamples of 91 subjects and 5 seeds, corrected for few seeds"
    ]
    assert ((found["low"] < found["mean"]) & (found["mean"] < found["high"])).all()


def made(**columns) -> pd.DataFrame:
    base = {
        "dataset": "d",
        "model": "m",
        "condition": "clean",
        "method": "g",
        "reading": "w",
        "reference": "gaze",
    }
    base |= {"metric": "ncc", "center_bias": "", "seed": 0, "subject": "s", "reader": "", "status": "ok"}
    return pd.DataFrame({**base, "reason": None, **columns}, index=range(len(columns["value"])))


def test_readers_are_averaged_within_images_and_subjects_weigh_by_images():
    rows = made(
        image=["a", "a", "b", "c"],
        subject=["s", "s", "s", "t"],
        reader=["0", "1", "0", "0"],
        value=[0.0, 1.0, 0.2, 0.8],
    )
    row = summarise(rows, interval=FAST).iloc[0]
    assert row["mean"] == pytest.approx((0.5 + 0.2 + 0.8) / 3)
    assert row[["rows", "images", "subjects", "seeds", "excluded"]].tolist() == [4, 3, 2, 1, 0]


def test_seeds_count_alike_where_one_lacks_images():
    rows = made(image=["a", "b", "a"], subject=["s", "t", "s"], seed=[0, 0, 1], value=[0.0, 1.0, 0.8])
    assert summarise(rows, interval="random_effects").iloc[0]["mean"] == pytest.approx((0.5 + 0.8) / 2)


def test_unusable_rows_are_counted_with_their_reasons_and_an_empty_group_stays():
    status = ["ok", "undefined", "undefined", "not_applicable", "undefined", "failed", "failed"]
    rows = made(
        method=["g"] * 5 + ["h"] * 2, image=list("abcdeab"), value=[0.5] + [np.nan] * 6, status=status
    )
    found = summarise(rows, interval=FAST).set_index("method")
    assert found.loc["g", "excluded_why"] == "undefined: 3; not_applicable: 1"
    assert found.loc["g", "excluded"] == 4 and found.loc["g", "mean"] == 0.5
    assert found.loc["g", "interval"] == "no interval: one subject" and np.isnan(found.loc["g", "low"])
    assert np.isnan(found.loc["h", "mean"]) and found.loc["h", "excluded_why"] == "failed: 2"
    assert found.loc["h", "interval"] == "no usable row" and found.loc["h", "rows"] == 0
    tables.conform("summary", found.reset_index(), "test")


def test_any_long_frame_can_be_summarised_without_status_subject_or_seed():
    frame = pd.DataFrame({"colour": list("rrg"), "image": list("aba"), "value": [1.0, 3.0, 5.0]})
    found = summarise(frame, by=["colour"], interval=FAST)
    assert found["colour"].tolist() == ["g", "r"] and found["mean"].tolist() == [5.0, 2.0]
    assert "stratum" not in found
    frame.loc[2, "value"] = np.nan
    assert summarise(frame, by=["colour"], interval=FAST)["excluded_why"].tolist() == ["missing: 1", ""]


def test_equal_image_names_of_two_datasets_stay_two_images():
    frame = pd.DataFrame(
        {"dataset": ["x", "y"], "image": "a", "subject": ["s", "t"], "value": [0.0, 1.0], "g": 1}
    )
    assert summarise(frame, by=["g"], interval=FAST).iloc[0]["images"] == 2


def random_rows(images: int = 40, methods: tuple[str, ...] = ("g", "h"), seeds: int = 4) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    index = pd.MultiIndex.from_product(
        [methods, range(seeds), [f"i{i:03}" for i in range(images)]], names=["method", "seed", "image"]
    )
    rows = index.to_frame(index=False)
    return made(**rows, value=draw.normal(size=len(rows))).assign(subject=rows["image"].str[:3].to_numpy())


@pytest.mark.parametrize("method", intervals.METHODS)
def test_results_depend_neither_on_row_order_nor_on_other_groups(method):
    rows, options = random_rows(), intervals.Options(method, resamples=300)
    found = summarise(rows, interval=options)
    shuffled = summarise(rows.sample(frac=1.0, random_state=1), interval=options)
    pd.testing.assert_frame_equal(found, shuffled, check_exact=True)
    alone = summarise(rows[rows["method"] == "h"], interval=options)
    pd.testing.assert_frame_equal(found[found["method"] == "h"].reset_index(drop=True), alone, rtol=1e-12)
    other = summarise(rows, interval=intervals.Options(method, resamples=300, seed=1))
    assert other["low"].equals(found["low"]) == (method not in ("crossed_bootstrap", "subjects", "bca"))


def test_strata_of_a_model_and_seed_serve_that_model_and_seed():
    rows = made(
        model=list("mmmn"),
        seed=[0, 1, 0, 0],
        image=list("aaba"),
        subject=list("ssts"),
        value=[1.0, 2.0, 4.0, 8.0],
    )
    strata = pd.DataFrame(
        [
            ("a", "correct", "yes", "m", 0.0),
            ("a", "correct", "no", "m", 1.0),
            ("b", "correct", "yes", "m", 0.0),
        ],
        columns=["image", "stratum", "value", "model", "seed"],
    ).assign(dataset="d")
    found = summarise_strata(rows, strata, interval=FAST).set_index(["model", "stratum", "level"])["mean"]
    # over all images seed 0 has two images and seed 1 one: (2.5 + 2.0) / 2
    assert found.to_dict() == {
        ("m", "", ""): 2.25, ("m", "correct", "no"): 2.0, ("m", "correct", "yes"): 2.5, ("n", "", ""): 8.0,
    }  # fmt: skip


def test_strata_that_contradict_themselves_are_refused():
    strata = pd.DataFrame({"dataset": "d", "image": ["a", "a"], "stratum": "x", "value": ["1", "2"]})
    with pytest.raises(TableError, match="two levels"):
        summarise_strata(random_rows(), strata.assign(model=None, seed=None))
    with pytest.raises(TableError, match="'x'.*in all its rows or in none"):
        summarise_strata(random_rows(), strata.assign(model=["m", None], seed=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": [0.1, np.nan]}, "1 row.*status ok have no finite value"),
        ({"value": [0.1, np.inf]}, "no finite value"),
        ({"subject": ["s", "t"]}, "image 'a' belongs to more than one subject"),
        ({"subject": ["s", None]}, "empty subject in 1 row"),
    ],
)
def test_rows_that_cannot_be_counted_are_refused(change, message):
    rows = made(**{"image": "a", "reader": ["0", "1"], "value": [0.1, 0.2], **change})
    with pytest.raises(TableError, match=message):
        summarise(rows)


def test_a_missing_column_is_named():
    with pytest.raises(TableError, match="lack the column.*metric"):
        summarise(random_rows().drop(columns="metric"))


@pytest.mark.parametrize(
    "options", [{"method": "bootstrap"}, {"unit": "reader"}, {"resamples": 10}, {"level": 95}]
)
def test_options_that_are_not_allowed_are_refused(options):
    with pytest.raises(ConfigError, match="interval"):
        intervals.Options(**options)
