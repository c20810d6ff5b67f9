"""From a summary table to a forest plot's rows and panels: what is compared, in which order, with what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from sightline.figures import forest, style, words

PLACE = ["dataset", "reference"]
MARK = ["row", "panel", "series", "mean", "low", "high", "why"]

PUBLISHED = "published\x1f"  # starts the names of series that are not this study's

Areas = Mapping[tuple[str, str], float]  # (dataset, reference) -> the region's mean share of the area


def with_center_bias(summary: pd.DataFrame, choice: str | None = None) -> pd.DataFrame:
    """`summary` with one center bias: `choice`, or the strictest there is (without the image, the subject,
    pooled).

    Metrics that use none stay. A shuffled metric without the chosen center bias has no row.
    """
    found = set(summary["center_bias"]) - {""}
    if choice is None:
        choice = next((name for name in ("image", "subject", "none") if name in found), "")
    return summary[summary["center_bias"].isin(["", choice])]


def overall(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of `summary` over all images and against a reference: no row that is itself a region's area,
    none idle."""
    held = (summary["reference"] != "") & (summary["metric"] != "area_share")
    return without_idle(summary[(summary["stratum"] == "") & held])


def alone(summary: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """The rows of `summary` over all images of `metrics` that need no reference: of the maps themselves."""
    free = (summary["reference"] == "") & summary["metric"].isin(list(metrics))
    return summary[(summary["stratum"] == "") & free]


def without_idle(summary: pd.DataFrame) -> pd.DataFrame:
    """`summary` less the baselines that have no score on a dataset: it holds no gaze, or no lung mask."""
    most = summary.groupby([*PLACE, "method"])["images"].transform("max")
    return summary[(most > 0) | ~words.is_baseline(summary)]


def places(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The (dataset, reference) pairs of a table in its own order, by dataset; gaze stands before regions."""
    found = list(frame[PLACE].drop_duplicates().itertuples(index=False, name=None))
    datasets = list(dict.fromkeys(dataset for dataset, _ in found))
    return sorted(found, key=lambda place: (datasets.index(place[0]), _in_region(frame, place)))


def arranged(frame: pd.DataFrame, places: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """`frame` in the order of `places`; what they do not name comes last, in the frame's order."""
    rank = {place: index for index, place in enumerate(places)}
    keys = [rank.get(place, len(rank)) for place in frame[PLACE].itertuples(index=False, name=None)]
    return frame.iloc[sorted(range(len(keys)), key=keys.__getitem__)]


def at(frame: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    """The rows of one (dataset, reference)."""
    return frame[(frame["dataset"] == place[0]) & (frame["reference"] == place[1])]


def named(places: Sequence[tuple[str, str]]) -> str:
    """Places in a sentence: "gaze, lungs on cxr"."""
    references = dict.fromkeys(words.plain(reference) for _, reference in places)
    datasets = dict.fromkeys(words.plain(dataset) for dataset, _ in places)
    return f"{', '.join(references)} on {', '.join(datasets)}"


def _in_region(frame: pd.DataFrame, place: tuple[str, str]) -> bool:
    return words.is_region(at(frame, place)["metric"], place[1])


def keys(frame: pd.DataFrame) -> pd.Series:
    """One text per row of a plot: a baseline is one row; a model's method one per reading."""
    model = frame["model"].where(~words.is_baseline(frame), "")
    return model + "\x1f" + frame["method"] + "\x1f" + frame["reading"]


def blocks(
    summary: pd.DataFrame,
    series: pd.Series,
    *,
    areas: Areas | None = None,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> list[forest.Block]:
    """One block per dataset and reference; `series` names, for each row of `summary`, the mark that it
    becomes.

    `methods` is the study's whole list (colours), `metrics` those to show (default: all, in the order of the
    paper).
    """
    colours = style.colours([*methods, *summary["method"]])
    frame = summary.assign(row=keys(summary), series=series, panel=summary["metric"])
    frame["extra"] = frame["series"].str.startswith(PUBLISHED)
    frame["why"] = frame["excluded_why"].map(words.reason)
    several = places(frame)
    result = []
    for dataset, reference in several:
        here = at(frame, (dataset, reference))
        shown = [
            name for name in words.ordered(here["metric"], words.METRICS) if not metrics or name in metrics
        ]
        if not shown:
            continue
        here = here[here["metric"].isin(shown)]
        area = (areas or {}).get((dataset, reference))
        title = f"{words.plain(dataset)}: against {words.plain(reference)}" if len(several) > 1 else ""
        panels = [_panel(here, name, area) for name in shown]
        lines = _rows(here, colours, words.is_region(here["metric"], reference))
        result.append(forest.Block(title, lines, panels, here[MARK]))
    return result


def _panel(here: pd.DataFrame, name: str, area: float | None) -> forest.Panel:
    text = words.metric(name)
    observers = here[(here["method"] == "interobserver") & (here["metric"] == name) & ~here["extra"]]
    observers = observers.dropna(subset=["mean", "low", "high"])
    band = None
    if len(observers) == 1:
        band = tuple(float(observers.iloc[0][column]) for column in ("low", "mean", "high"))
    return forest.Panel(
        name,
        text.title,
        text.axis,
        text.chance,
        area if name in words.AREA_METRICS else None,
        band,
        words.possible(name),
    )


def _rows(here: pd.DataFrame, colours: Mapping[str, str], in_region: bool) -> list[forest.Row]:
    """Baselines first, then every model's methods and readings, each with its n."""
    first = here.groupby("row", sort=False).agg(
        model=("model", "first"),
        method=("method", "first"),
        reading=("reading", "first"),
        images=("images", "max"),
        seeds=("seeds", "max"),
    )
    first["baseline"] = words.is_baseline(first)
    order = {name: index for index, name in enumerate(style.methods(first["method"]))}
    readings = {name: index for index, name in enumerate(words.ordered(first["reading"], words.READINGS))}
    first["place"] = [
        ("" if baseline else model, order[method], readings[reading])
        for baseline, model, method, reading in zip(
            first["baseline"], first["model"], first["method"], first["reading"]
        )
    ]
    counts = first.groupby(["model", "method"])["reading"].transform("size")
    result = []
    for key, row in first.assign(count=counts).sort_values("place").iterrows():
        label = words.method(row["method"], in_region)
        if row["count"] > 1 and row["reading"]:
            label += f", {words.plain(row['reading'])}"
        note = f"{row['images']:,}" if row["baseline"] else f"{row['images']:,} × {row['seeds']}"
        heading = "Baselines" if row["baseline"] else words.plain(row["model"])
        result.append(forest.Row(key, label, heading, colours[row["method"]], note))
    return result


def published_as(summary: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """The published values of the rows that `summary` has, in its keys, with their `source`; no others.

    `published`: method, model, reading, metric, mean, low, high and optionally stratum, level. A reading is
    only matched where the method has several; a baseline's model is not.
    """
    if published is None or published.empty:
        return summary.iloc[:0].assign(source="")
    both = ["method", "model", "reading", "metric"]
    wanted = summary.drop_duplicates(["dataset", "reference", "stratum", "level", *both])
    known = published.assign(**{name: "" for name in ("stratum", "level") if name not in published})
    known = known.assign(
        model=known["model"].where(~words.is_baseline(known), ""), reading=known["reading"].fillna("")
    )
    single = (
        known.groupby(["model", "method", "metric", "stratum", "level"])["reading"].transform("nunique") == 1
    )
    found = []
    for row in wanted.to_dict("records"):
        model = "" if row["method"] in words.BASELINES else row["model"]
        same = (
            (known["method"] == row["method"])
            & (known["model"] == model)
            & (known["metric"] == row["metric"])
        )
        if "reference" in known:
            same &= known["reference"] == row["reference"]
        same &= (known["stratum"] == row["stratum"]) & (known["level"] == row["level"])
        exact = known[same & (known["reading"] == row["reading"])]
        match = exact if len(exact) else known[same & single & (not _several_readings(wanted, row))]
        if len(match):
            known_here = match.iloc[0]
            numbers = {name: float(known_here[name]) for name in ("mean", "low", "high")}
            found.append({**row, **numbers, "source": known_here.get("source", "")})
    return pd.DataFrame(found, columns=[*summary.columns, "source"])


def _several_readings(frame: pd.DataFrame, row: Mapping) -> bool:
    same = (frame["method"] == row["method"]) & (frame["model"] == row["model"])
    return frame.loc[same, "reading"].nunique() > 1
