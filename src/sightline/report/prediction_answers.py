"""Where maps look when a model is right and when it is wrong, in sentences made from numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sightline.figures import rows, style, words
from sightline.report.chance import SIDES, lies
from sightline.report.facts import Plan

STRATUM, RIGHT, WRONG = "prediction", "correct", "wrong"


def answers(
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    plan: Plan,
    areas: rows.Areas | None = None,
    center_bias: str | None = None,
) -> list[str]:
    """Per dataset, region of `plan.parts` and model: right against wrong, and which maps find the region.

    Tables as in `tables`; `areas` and `center_bias` as in `answers.answer`. Unaltered images, the model's
    first map. A region that no map was scored in by the stratum `prediction` has no sentence.
    """
    frame = rows.with_center_bias(summary, center_bias)
    frame = frame[(frame["condition"] == "clean") & ~words.is_baseline(frame)]
    told: list[str] = []
    places = [place for place in plan.places if place[1] in plan.parts]
    for place in places:
        here = rows.at(frame, place)
        where = f"on {words.plain(place[0])}, " if len({dataset for dataset, _ in places}) > 1 else ""
        for model in words.ordered(here["model"], [name for name, *_ in plan.maps]):
            own = here[here["model"] == model]
            maps = _in_order(own, plan)
            sentences = [
                *_right_and_wrong(frame, rows.at(contrasts, place), plan, (place, model), maps, areas or {}),
                *_ranked(own, maps),
            ]
            told += [(where + one)[0].upper() + (where + one)[1:] for one in sentences]
    return told


def _in_order(own: pd.DataFrame, plan: Plan) -> list[tuple[str, str]]:
    """The (method, reading) of a model's rows, the configuration's first map first."""
    known = [(method, reading) for _, method, reading in plan.maps]
    found = own[["method", "reading"]].drop_duplicates().itertuples(index=False, name=None)
    return words.ordered(found, known)


def _right_and_wrong(
    frame: pd.DataFrame,
    contrasts: pd.DataFrame,
    plan: Plan,
    about: tuple[tuple[str, str], str],
    maps: Sequence[tuple[str, str]],
    areas: rows.Areas,
) -> list[str]:
    """Two sentences on a model's first map in a region: right against wrong, and where else when wrong."""
    (dataset, region), model = about
    levels = frame[(frame["stratum"] == STRATUM) & (frame["dataset"] == dataset) & (frame["model"] == model)]
    here = levels[levels["reference"] == region]
    scored = [one for one in maps if any(len(_of(here, one, metric)) for metric in ("mass_inside", "sauc"))]
    if not scored:
        return []
    first, name = scored[0], words.method(scored[0][0])
    name += f" ({words.plain(first[1])})" if first[1] else ""
    inside, shuffled = (_of(here, first, metric) for metric in ("mass_inside", "sauc"))
    area = areas.get((dataset, region))
    share = f" (share of the area: {words.short(area)})" if area is not None else ""
    parts = [
        f"when it is {said}{_count(inside if len(inside) else shuffled, level)}, "
        + _scored(inside, shuffled, level)
        for level, said in ((RIGHT, "right"), (WRONG, "wrong"))
    ]
    start = f"{name} of {words.plain(model)} against {words.plain(region)}{share}: {'; '.join(parts)}"
    elsewhere = {
        part: _by_level(_of(levels[levels["reference"] == part], first, "mass_inside")).get(WRONG)
        for part in plan.parts[region]
    }
    looked = [
        f"{words.estimate(row)} in {words.plain(part)}" for part, row in elsewhere.items() if row is not None
    ]
    also = f" Of its mass when the model is wrong: {_listed(looked)}." if looked else ""
    return [f"{start}{_differences(contrasts, model, first)}.{also}"]


def _of(frame: pd.DataFrame, chosen: tuple[str, str], metric: str) -> pd.DataFrame:
    """The rows of one map by one metric that have a mean."""
    same = (frame["method"] == chosen[0]) & (frame["reading"] == chosen[1]) & (frame["metric"] == metric)
    return frame[same].dropna(subset=["mean"])


def _by_level(found: pd.DataFrame) -> dict[str, pd.Series]:
    return {row["level"]: row for _, row in found.iterrows()}


def _count(found: pd.DataFrame, level: str) -> str:
    row = _by_level(found).get(level)
    if row is None:
        return ""
    images = f"{row['images']:,} {'image' if row['images'] == 1 else 'images'}"
    return f" ({images}{' under some seed' if row['seeds'] > 1 else ''})"


def _scored(inside: pd.DataFrame, shuffled: pd.DataFrame, level: str) -> str:
    """What a map scores on the images of one level."""
    mass, sauc = (_by_level(found).get(level) for found in (inside, shuffled))
    told = [] if mass is None else [f"{words.estimate(mass)} of its mass lies inside"]
    if sauc is not None:
        told.append(f"{words.metric('sauc').title} {words.estimate(sauc)}, {SIDES[lies(sauc, 0.5)]}")
    return ", ".join(told) or "there is no image to tell from"


def _differences(contrasts: pd.DataFrame, model: str, chosen: tuple[str, str]) -> str:
    """Right less wrong, by mass and by sAUC: "; difference 0.1 [0.05, 0.15] (sAUC ...)"."""
    here = contrasts[(contrasts["model"] == model) & (contrasts["condition"] == "clean")]
    here = here[(here["stratum"] == STRATUM) & (here["method"] == chosen[0]) & (here["reading"] == chosen[1])]
    here = (
        here.dropna(subset=["difference", "low", "high"])
        .drop_duplicates("metric")
        .set_index("metric", drop=False)
    )
    told = [
        f"{title} {words.difference(here.loc[metric])}"
        for metric, title in (("mass_inside", "of the mass"), ("sauc", f"of {words.metric('sauc').title}"))
        if metric in here.index
    ]
    return f"; right less wrong, difference {' and '.join(told)}" if told else ""


def _ranked(own: pd.DataFrame, maps: Sequence[tuple[str, str]]) -> list[str]:
    """The methods by sAUC over all images, best first, each by its first reading."""
    overall = own[own["stratum"] == ""]
    first = {method: reading for method, reading in reversed(maps)}
    found = [(method, _of(overall, (method, reading), "sauc")) for method, reading in first.items()]
    found = [(method, part.iloc[0]) for method, part in found if len(part)]
    if len(found) < 2:
        return []
    order = style.methods(method for method, _ in found)
    ranked = sorted(found, key=lambda pair: (-pair[1]["mean"], order.index(pair[0])))
    listed = ", ".join(f"{words.method(method)} {words.estimate(row)}" for method, row in ranked)
    beat = sum(lies(row, 0.5) == "above" for _, row in found)
    region, model = (words.plain(own[name].iloc[0]) for name in ("reference", "model"))
    title = words.metric("sauc").title
    return [
        f"which maps of {model} find {region}, by {title} over all images (chance 0.5): {listed}; "
        f"{beat} of {len(found)} do better than chance."
    ]


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1])] * (len(parts) > 1) + list(parts[-1:]))
