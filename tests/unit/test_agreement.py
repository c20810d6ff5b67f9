"""Which cells are compared, the table of agreements, and its means with intervals over subjects and seeds."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.agreement import summary
from sightline.agreement.agree import Grid, agree, paired_readings
from sightline.agreement.measures import MEASURES, measured
from sightline.agreement.pairs import compared, groups
from sightline.errors import ConfigError
from sightline.frames import scoring_frame
from sightline.intervals import Options
from sightline.scores.scoring import Absent


@dataclass(frozen=True, order=True)
class Cell:
    dataset: str
    model: str
    seed: int
    condition: str
    method: str


GRID = [Cell("d", *axes) for axes in product("mn", (0, 1, 2), ("clean", "random"), ("cam", "grad", "ig"))]
READINGS = {"signed": {"classes": "uniform"}}
SHAPE = (16, 12)


def of(values, axis):
    return [tuple(getattr(group.cells[at], axis) for at in pair) for group in values for pair in group.pairs]


def test_every_other_condition_against_the_clean_one():
    found = groups(GRID, {"between": "condition", "with": "clean"})
    assert len(found) == 2 * 3 * 3 and of(found, "condition") == [("random", "clean")] * 18
    for group in found:
        assert len({(cell.model, cell.seed, cell.method) for cell in group.cells}) == 1
        assert group.outputs_of(0) == group.outputs_of(1) == group.cells[group.fixed]


def test_every_pair_of_an_axis_within_all_others():
    seeds = groups(GRID, {"between": "seed", "with": None, "only": {}})
    assert len(seeds) == 2 * 2 * 3 and of(seeds, "seed")[:3] == [(0, 1), (0, 2), (1, 2)]
    assert seeds[0].outputs_of(2) == seeds[0].cells[2]
    only = {"condition": ["clean"], "model": ["n"]}
    methods = groups(GRID, {"between": "method", "only": only})
    assert of(methods, "method") == [("cam", "grad"), ("cam", "ig"), ("grad", "ig")] * 3
    assert set(of(methods, "condition")) == {("clean", "clean")} and set(of(methods, "model")) == {("n", "n")}
    models = groups(GRID, {"between": "model"})
    assert all(a == b for a, b in of(models, "seed")) and len(of(models, "seed")) == 18
    assert compared(GRID, {"between": "method", "only": only}) == sorted(
        cell for cell in GRID if cell.condition == "clean" and cell.model == "n"
    )


def test_where_there_is_nothing_to_compare():
    assert groups(GRID[:1], {"between": "condition", "with": "clean"}) == []
    assert groups(GRID, {"between": "condition", "with": "noise"}) == []
    assert groups([cell for cell in GRID if cell.method == "cam"], {"between": "method"}) == []
    with pytest.raises(ConfigError, match="'layer' is no axis"):
        groups(GRID, {"between": "seed", "only": {"layer": ["last"]}})


class Stored:
    """Maps by image and reading, as `Saliency` gives them."""

    def __init__(self, maps):
        self.maps, self.images = maps, sorted(maps)

    def get(self, image, chosen, frame):
        return {name: self.maps[image][name] for name in chosen}


def noise(*key):
    seed = [sum(map(ord, str(part))) for part in key]
    return np.random.default_rng(seed).normal(size=SHAPE)


def images(*names):
    return pd.DataFrame({"image": names, "subject": [f"s{name}" for name in names]})


def grid(image):
    return Grid(scoring_frame((128, 96), 0.125))


def test_rows_are_the_measures_of_the_two_maps(tmp_path):
    cells = [Cell("d", "m", seed, condition, "cam") for seed in (0, 1) for condition in ("clean", "random")]
    asked = []

    def maps(cell, outputs_of):
        asked.append((cell, outputs_of))
        return Stored(
            {image: {"signed": noise(cell, image), "relu": noise(cell, image) + 1} for image in "ab"}
        )

    chosen = {"signed": {"classes": "uniform"}, "relu": {"classes": "uniform", "clip": "relu"}}
    found = agree(
        "randomisation",
        groups(cells, {"between": "condition", "with": "clean"}),
        maps,
        lambda cell: chosen,
        images("a", "b", "unseen"),
        grid,
    )
    tables.write("agreements", found, tmp_path / "agreements.parquet")
    assert len(found) == 2 * 2 * 2 * len(MEASURES) and set(found["status"]) == {"ok"}
    assert asked == [(cell, cells[2 * cell.seed]) for cell in cells]  # opened once; the clean model's outputs
    assert set(zip(found["condition_a"], found["condition_b"])) == {("random", "clean")}
    assert found["seed_a"].eq(found["seed_b"]).all() and (found["subject"] == "s" + found["image"]).all()
    rows = found[(found["seed_a"] == 1) & (found["image"] == "b") & (found["reading"] == "signed")]
    expected = measured(np.stack([noise(cells[3], "b"), noise(cells[2], "b")]), [(0, 1)])[0]
    assert rows.set_index("metric")["value"][list(MEASURES)].tolist() == expected.tolist()


def test_every_gap_has_a_reason(tmp_path):
    cells = [Cell("d", "m", 0, "clean", method) for method in ("cam", "grad", "ig")]
    broken = noise("x")
    broken[0, 0] = np.inf
    given = {
        "cam": {name: {"signed": noise("cam", name)} for name in "abcd"},
        "grad": {"a": {"signed": Absent("not_applicable", "no grid")}, "b": {"signed": np.ones(SHAPE)}},
        "ig": {
            "a": {"signed": Absent("failed", "out of memory")},
            "b": {"signed": broken},
            "d": {"signed": noise("cam", "d")},
        },
    }
    found = agree(
        "methods",
        groups(cells, {"between": "method"}),
        lambda cell, _: Stored(given[cell.method]),
        lambda cell: READINGS,
        images(*"abcd"),
        grid,
    )
    tables.write("agreements", found, tmp_path / "agreements.parquet")
    why = found.groupby(["image", "method_a", "method_b"])[["status", "reason"]].agg(lambda part: set(part))
    assert why.loc[("a", "cam", "grad")].tolist() == [{"not_applicable"}, {"b: no grid"}]
    assert why.loc[("a", "grad", "ig")].tolist() == [{"not_applicable"}, {"a: no grid; b: out of memory"}]
    assert why.loc[("b", "cam", "grad")].tolist() == [{"undefined"}, {"a map is constant"}]
    assert why.loc[("b", "cam", "ig")].tolist() == [{"failed"}, {"b: 1 of 192 values are not finite"}]
    assert why.loc[("d", "cam", "ig"), "status"] == {"ok"}
    assert len(why) == 3 + 3 + 1  # "c" and most of "d" have maps of one method alone
    assert found["value"].notna().eq(found["status"] == "ok").all()
    assert found.loc[found["image"] == "d", "value"].to_numpy() == pytest.approx(1.0, abs=1e-12)


def test_a_strip_of_pixels_has_no_structural_similarity():
    cells = [Cell("d", "m", seed, "clean", "cam") for seed in (0, 1)]
    found = agree(
        "seeds",
        groups(cells, {"between": "seed"}),
        lambda cell, _: Stored({"a": {"signed": noise(cell)[:2]}}),
        lambda cell: READINGS,
        images("a"),
        grid,
    ).set_index("metric")
    assert found.loc["ssim", ["status", "reason"]].tolist() == [
        "undefined",
        "the grid has a side below 3 pixels",
    ]
    assert found.loc["pearson", "status"] == "ok"


def test_gaps_where_two_pictures_show_little_in_common():
    cells = [Cell("d", "m", 0, condition, "cam") for condition in ("clean", "down", "up")]
    shown = {"clean": None, "down": np.zeros(SHAPE, bool), "up": np.zeros(SHAPE, bool)}
    shown["down"][:6], shown["up"][8:] = True, True
    found = agree(
        "conditions",
        groups(cells, {"between": "condition"}),
        lambda cell, _: Stored({"a": {"signed": noise(cell)}}),
        lambda cell: READINGS,
        images("a"),
        lambda image: Grid(scoring_frame((128, 96), 0.125), lambda cell: shown[cell.condition]),
    ).set_index(["condition_a", "condition_b", "metric"])
    assert set(found.loc[("down", "up"), "reason"]) == {"no pixel is shown by both pictures"}
    assert found.loc[("clean", "up"), "status"].eq("ok").all()
    low = found.loc[("clean", "down")]  # six rows: too few for a window of seven
    assert low.loc["ssim_abs", "reason"] == "no window lies within what both pictures show"
    pair = np.stack([noise(cell)[:6] for cell in cells[:2]])
    assert low.loc["pearson", "value"] == pytest.approx(np.corrcoef(*pair.reshape(2, -1))[0, 1], abs=1e-12)


def test_readings_pair_by_name_or_as_the_only_one():
    two, one = {"uniform": {}, "weighted": {}}, {"plain": {}}
    assert paired_readings(two, {"weighted": {}, "relu": {}}) == [("weighted", "weighted")]
    assert paired_readings(two, one) == [("uniform", "plain"), ("weighted", "plain")]
    assert paired_readings(two, {"a": {}, "b": {}}) == []
    cells = [Cell("d", "m", 0, "clean", "attention"), Cell("d", "m", 0, "clean", "cam")]
    found = agree(
        "methods",
        groups(cells, {"between": "method"}),
        lambda cell, _: Stored({"a": {name: noise(cell, name) for name in (*two, *one)}}),
        lambda cell: one if cell.method == "attention" else two,
        images("a"),
        grid,
    )
    assert set(found["reading"]) == {"plain | uniform", "plain | weighted"}


def test_no_pair_is_an_empty_table():
    found = agree("seeds", [], None, None, images("a"), grid)
    assert tables.conform("agreements", found, "test").num_rows == 0
    assert tables.conform("agreement_summary", summary.summarise(found), "test").num_rows == 0


# ---- means with intervals


def agreements(axis, values, **sides):
    """Table `agreements` of one measure: `values` {(seed_a, seed_b, image): value or None}."""
    rows = []
    for (a, b, image), value in values.items():
        row = {"dataset": "d", "kind": axis, "axis": axis, "reading": "", "metric": "pearson", "image": image}
        row |= {f"{name}_{side}": "x" for name in ("model", "condition", "method") for side in "ab"} | sides
        row |= {"seed_a": a, "seed_b": b, "subject": f"s{image}", "value": value}
        row |= {"status": "ok" if value is not None else "undefined"}
        rows.append(row | {"reason": None if value is not None else "a map is constant"})
    return pd.DataFrame(rows)


def test_conditions_have_means_over_images_and_seeds():
    draws = np.random.default_rng(1).normal(size=(4, 30))
    values = {(seed, seed, f"i{image:02}"): draws[seed, image] for seed in range(4) for image in range(30)}
    values[0, 0, "i30"] = None
    found = summary.summarise(agreements("condition", values), Options(resamples=1000))
    assert tables.conform("agreement_summary", found, "test").num_rows == 1
    row = found.iloc[0]
    assert row["mean"] == pytest.approx(draws.mean(), abs=1e-12) and row["low"] < row["mean"] < row["high"]
    counts = row[["rows", "images", "subjects", "seeds", "excluded"]].tolist()
    assert counts == [120, 30, 30, 4, 1] and row["excluded_why"] == "undefined: 1"
    assert row["sd"] == pytest.approx(draws.std(ddof=1), abs=1e-12)


def seed_pairs(k, value):
    return {
        (a, b, image): value(a, b, image) for a in range(k) for b in range(a + 1, k) for image in "pqrstu"
    }


@pytest.mark.parametrize("k", [3, 5])
def test_pseudo_values_of_a_sum_are_the_seeds_own_parts(k):
    """Where a pair's value is the sum of its seeds' parts, each seed's pseudo-value is twice its part."""
    part = {image: np.random.default_rng(ord(image)).normal(size=k) for image in "pqrstu"}
    values = seed_pairs(k, lambda a, b, image: part[image][a] + part[image][b])
    rows = summary.as_scores(agreements("seed", values))
    assert len(rows) == k * 6
    for row in rows.itertuples():
        assert row.value == pytest.approx(2 * part[row.image][row.seed], abs=1e-12)
    found = summary.summarise(agreements("seed", values), Options("t_over_seeds")).iloc[0]
    assert found["mean"] == pytest.approx(np.mean(list(values.values())), abs=1e-12)
    assert (found["seeds"], found["rows"]) == (k, len(values))
    of_seeds = 2 * np.mean(list(part.values()), axis=0)
    error = of_seeds.std(ddof=1) / np.sqrt(k)
    from scipy.stats import t

    half = t.ppf(0.975, k - 1) * error
    assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-9)


def test_pseudo_values_of_any_pairs_by_leaving_seeds_out():
    draws = {(a, b): float(np.random.default_rng([a, b]).normal()) for a in range(4) for b in range(a + 1, 4)}
    values = seed_pairs(4, lambda a, b, image: draws[a, b])
    rows = summary.as_scores(agreements("seed", values))
    for seed in range(4):
        without = np.mean([value for pair, value in draws.items() if seed not in pair])
        expected = 4 * np.mean(list(draws.values())) - 3 * without
        assert rows[rows["seed"] == seed]["value"].to_numpy() == pytest.approx(expected, abs=1e-12)


def test_a_seed_whose_map_is_lost_leaves_the_others():
    part = np.arange(4.0)
    values = seed_pairs(4, lambda a, b, image: None if image == "p" and 3 in (a, b) else part[a] + part[b])
    values |= {key: None for key in values if key[2] == "q" and {2, 3} & set(key[:2])}
    rows = summary.as_scores(agreements("seed", values))
    ok = rows[rows["status"] == "ok"]
    assert ok[ok["image"] == "p"].set_index("seed")["value"].to_dict() == pytest.approx({0: 0, 1: 2, 2: 4})
    assert ok[ok["image"] == "q"].set_index("seed")["value"].to_dict() == pytest.approx({0: 1, 1: 1})
    found = summary.summarise(agreements("seed", values)).iloc[0]
    assert (found["excluded"], found["rows"]) == (3 + 5, 36 - 8)


def test_two_seeds_and_a_fixed_one_are_as_they_are():
    values = seed_pairs(2, lambda a, b, image: ord(image) / 100)
    found = summary.summarise(agreements("seed", values), Options(resamples=500)).iloc[0]
    assert (found["seeds"], found["rows"]) == (1, 6) and found["low"] < found["mean"] < found["high"]
    fixed = {(a, 0, image): a + ord(image) / 100 for a in (1, 2, 3) for image in "pqrstu"}
    rows = summary.as_scores(agreements("seed", fixed))
    assert sorted(rows["value"]) == pytest.approx(sorted(fixed.values()))
    assert summary.summarise(agreements("seed", fixed)).iloc[0]["seeds"] == 3
