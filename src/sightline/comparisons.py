"""Two methods or models on the same images: paired difference, interval, test, correction within a family."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sightline import cells, intervals, tables
from sightline.errors import ConfigError, TableError
from sightline.randomness import generator
from sightline.statistics import coded, estimates, usable_rows, with_levels

TESTS = ("sign_flips", "mixed_model", "mixed_model_readers")
EXACT_SUBJECTS = 16  # up to here every assignment of signs is enumerated
CONTEXT = ["dataset", "reading", "reference", "metric", "center_bias"]
LIMIT_ROWS, LIMIT_SUBJECTS = 10_000, 300  # of the mixed model, whose crossed effects are dense: 40 s a fit


@dataclass(frozen=True)
class Side:
    """What is compared; None leaves the reading or the model to what the scores have."""

    method: str
    reading: str | None = None
    model: str | None = None
    condition: str = "clean"

    @staticmethod
    def parse(text: str) -> Side:
        """The side named `method[/reading][@model][+condition]`. Raises `ConfigError` for other text."""
        found = re.fullmatch(r"([^/@+]+)(?:/([^/@+]+))?(?:@([^/@+]+))?(?:\+([^/@+]+))?", text)
        if found is None:
            raise ConfigError(f"comparison {text!r}: expected method[/reading][@model][+condition]")
        method, reading, model, condition = found.groups()
        return Side(method, reading, model, condition or "clean")


def sides(pairs: Iterable[Sequence[str]]) -> set[tuple[str, str]]:
    """The (method, condition) of all sides of `pairs`: whose scores `compare` needs."""
    return {(side.method, side.condition) for pair in pairs for side in map(Side.parse, pair)}


def compare(
    scores: pd.DataFrame,
    pairs: Iterable[Sequence[str]],
    family: str,
    strata: pd.DataFrame | None = None,
    options: intervals.Options | None = None,
    test: str = "sign_flips",
) -> pd.DataFrame:
    """Table 'comparisons': per pair (a, b; see `Side.parse`), metric, reference and stratum level, a minus b.

    Images pair; seeds pair where both sides are one model's, otherwise each side's seeds enter the interval
    as independent samples and only images that all seeds of both sides scored are counted. The sign-flip
    test is about these very models (their seeds averaged); the interval also about models trained anew.
    Holm's correction runs over all rows of one call, the family. Where no image has values on both sides the
    numbers are null. `strata` that depend on a model serve comparisons within that model. `test` is one of
    `TESTS`, the last one only for identified readers. Raises `ConfigError` where a side does not name one
    thing, `TableError` where the sides have nothing in common.
    """
    options = options or intervals.Options()
    if test not in TESTS:
        raise ConfigError(f"comparison test {test!r}: expected one of {', '.join(TESTS)}")
    usable = usable_rows(scores, [*CONTEXT, "model", "seed", "condition", "method", "reader", "subject"])
    found = [rows for a, b in pairs for rows in _paired(scores, usable, a, b)]
    if not found:
        return tables.empty("comparisons")
    rows = pd.concat(found, ignore_index=True)
    rows["stratum"], rows["level"] = "", ""
    if strata is not None:
        rows = pd.concat(
            [rows, with_levels(rows.drop(columns=["stratum", "level"]), strata)], ignore_index=True
        )
    by = [*CONTEXT, "stratum", "level", "a", "b"]
    rows["group"] = rows.groupby(by, sort=True).ngroup()
    result = rows.drop_duplicates("group").sort_values("group")[by].reset_index(drop=True)
    rows = rows[rows["value"].notna()]
    codes = coded(rows, options.unit).assign(group=rows["group"].to_numpy(), arm=rows["arm"].to_numpy())
    columns = cells.collect(codes)
    result = result.join(estimates(columns, len(result), options)).rename(columns={"mean": "difference"})
    result["p"], result["test"] = np.nan, "no image that both sides scored"
    for group, p, words in _tests(columns, codes.assign(reader=rows["reader"].to_numpy()), options, test):
        result.loc[group, ["p", "test"]] = [p, words]
    result["p_corrected"] = holm(result["p"].to_numpy(dtype=np.float64))
    for name in ("images", "subjects"):
        counted = codes.groupby("group")[name[:-1]].nunique()
        result[name] = counted.reindex(result.index, fill_value=0).astype("int64")
    result["seeds"] = [max(columns[group].arms) if group in columns else 0 for group in result.index]
    return result.assign(family=family)[list(tables.SCHEMAS["comparisons"].columns)]


def sign_flips(
    differences: np.ndarray, resamples: int, generator: np.random.Generator
) -> tuple[np.ndarray, str]:
    """Two-sided p (columns,) that differences (subjects, columns) have signs by chance, and the test's name.

    The statistic is the sum over subjects. Up to 16 subjects all signs are enumerated; beyond, p = (1 +
    hits) / (1 + resamples), which is valid at every number of resamples (Phipson and Smyth 2010).
    """
    n = len(differences)
    observed = np.abs(differences.sum(axis=0)) * (1.0 - 1e-12)  # ties count, also where rounding parts them
    hits = np.zeros(differences.shape[1])
    if n <= EXACT_SUBJECTS:
        every = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        hits = (np.abs((2.0 * every - 1.0) @ differences) >= observed).sum(axis=0)
        return hits / 2**n, f"sign flips over {n} subjects, exact, seeds averaged"
    for start in range(0, resamples, cells.CHUNK):
        bits = generator.integers(0, 2, (min(cells.CHUNK, resamples - start), n), dtype=np.int8)
        hits += (np.abs((2.0 * bits - 1.0) @ differences) >= observed).sum(axis=0)
    name = f"sign flips over {n} subjects, {resamples} draws, seeds averaged"
    return (1.0 + hits) / (1.0 + resamples), name


def mixed_model(rows: pd.DataFrame) -> tuple[float, str]:
    """Wald p that the mean difference is zero under crossed random intercepts, and the test's name.

    `rows`: value (a difference), subject, seed, reader; fitted by statsmodels' MixedLM. An effect whose
    levels are not repeated is left out: it is the residual's. Give several readers only where they are the
    same persons across images. With few seeds Wald's p is too small. Raises `TableError` beyond 10,000
    rows or 300 subjects.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    if len(rows) > LIMIT_ROWS or rows["subject"].nunique() > LIMIT_SUBJECTS:
        raise TableError(
            f"mixed model: {len(rows)} rows of {rows['subject'].nunique()} subjects; it serves up to "
            f"{LIMIT_ROWS} rows and {LIMIT_SUBJECTS} subjects; use the test 'sign_flips'"
        )
    effects = [name for name in ("subject", "seed", "reader") if 1 < rows[name].nunique() < len(rows)]
    values = rows["value"].to_numpy()
    if not effects or np.ptp(values) == 0.0:
        mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        return _wald(mean, error), "normal test over rows, no repeated effect"
    # one group holds all rows, because subjects, seeds and readers cross; values in SD, for the optimiser
    formulas = {name: f"0 + C({name})" for name in effects}
    rows = rows.assign(value=values / values.std())
    model = MixedLM.from_formula(
        "value ~ 1", rows, groups=np.ones(len(rows)), vc_formula=formulas, re_formula="0"
    )
    for optimiser in ("lbfgs", "powell"):
        with warnings.catch_warnings():
            # a variance of zero lies on the boundary and warns; a fit that failed is told by `converged`
            warnings.simplefilter("ignore")
            fit = model.fit(reml=True, method=optimiser)
        if fit.converged:
            name = f"mixed model, effects of {', '.join(effects)}, Wald z"
            return _wald(fit.fe_params.iloc[0], fit.bse_fe.iloc[0]), name
    return float("nan"), "mixed model did not converge"


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction (1979) of p-values; NaN stays NaN and counts for none."""
    corrected, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def _wald(mean: float, error: float) -> float:
    from scipy import stats

    return float(2.0 * stats.norm.sf(abs(mean) / error)) if error > 0 else float("nan")


def _tests(
    columns: dict[int, cells.Cells], rows: pd.DataFrame, options: intervals.Options, test: str
) -> Iterator[tuple[int, float, str]]:
    if test != "sign_flips":
        for group, part in rows.groupby("group"):
            part = part if test == "mixed_model_readers" else part.assign(reader="")
            yield int(group), *mixed_model(_differences(part))
        return
    for names, table in cells.designs(columns):
        draws = generator(options.seed, "sign_flips", len(table.sums))
        p, words = sign_flips(table.contributions, options.resamples, draws)
        yield from ((name, float(value), words) for name, value in zip(names, p))


def _differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences by image, seed and reader; of two arms, whose seeds do not pair, with seeds averaged."""
    if (rows["arm"] == 0).all():
        return rows.groupby(["subject", "image", "seed", "reader"], as_index=False)["value"].mean()
    sides = rows.groupby(["subject", "image", "reader", "arm"])["value"].mean().unstack("arm")
    return (sides[0] - sides[1]).rename("value").reset_index().assign(seed=0)


def _paired(scores: pd.DataFrame, usable: np.ndarray, a: str, b: str) -> Iterator[pd.DataFrame]:
    """Rows of one pair, per reading: context, image, subject, reader, seed, arm, model, value or null."""
    first, second = _side(scores, usable, a), _side(scores, usable, b)
    for reading, left, right in _readings(first, second, a, b):
        keys = ["dataset", "reference", "metric", "center_bias", "image", "subject", "reader"]
        same = left["model"].iloc[0] == right["model"].iloc[0] and not set(left["seed"]).isdisjoint(
            right["seed"]
        )
        if same:
            rows = left.merge(right[[*keys, "seed", "value"]], on=[*keys, "seed"], suffixes=("", "_b"))
            rows["value"] = rows["value"] - rows.pop("value_b")
            rows["arm"] = 0
        else:
            both = left[keys].drop_duplicates().merge(right[keys].drop_duplicates(), on=keys)
            for side in (left, right):
                both = both.merge(_complete(side, keys), on=keys, how="left")
            both = both.assign(ok=both.pop("complete_x") & both.pop("complete_y"))
            rows = pd.concat([left.assign(arm=0), right.assign(arm=1)]).merge(both, on=keys)
            rows["value"] = rows["value"].where(rows.pop("ok"))
            rows["model"] = None
        if rows.empty:
            raise TableError(
                f"comparison {a!r} with {b!r}: no row of one dataset, metric and image on both sides"
            )
        yield rows.assign(a=a, b=b, reading=reading)


def _complete(side: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Which keys of a side have a value in each seed that has any in their context."""
    context, known = keys[:4], side[side["value"].notna()]
    seeds = known.groupby(context)["seed"].nunique().rename("seeds").reset_index()
    counts = (
        side.groupby(keys)["value"]
        .count()
        .rename("values")
        .reset_index()
        .merge(seeds, on=context, how="left")
    )
    return counts.assign(complete=(counts["values"] == counts["seeds"]))[[*keys, "complete"]]


def _readings(
    first: pd.DataFrame, second: pd.DataFrame, a: str, b: str
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """The readings that pair: those in common, else the only one of a side with each of the other's."""
    left, right = (dict(list(side.groupby("reading"))) for side in (first, second))
    if common := sorted(set(left) & set(right)):
        yield from ((reading, left[reading], right[reading]) for reading in common)
    elif min(len(left), len(right)) == 1:
        for one in sorted(left):
            for other in sorted(right):
                yield " | ".join(filter(None, (one, other))), left[one], right[other]  # a baseline's is empty
    else:
        raise ConfigError(f"comparison {a!r} with {b!r}: no common reading; write method/reading on one side")


def _side(scores: pd.DataFrame, usable: np.ndarray, text: str) -> pd.DataFrame:
    """The rows that `text` names, values null where not usable."""
    side = Side.parse(text)
    chosen = (scores["method"] == side.method) & (scores["condition"] == side.condition)
    for column, value in (("reading", side.reading), ("model", side.model)):
        if value is not None:
            chosen &= scores[column] == value
    rows = scores[chosen].assign(value=scores["value"].where(usable)[chosen])
    models = sorted(rows["model"].unique())
    if len(models) != 1:
        have = ", ".join(map(repr, models)) if models else "none"
        raise ConfigError(
            f"comparison {text!r}: names the scores of one model; here: {have}. Write method@model"
        )
    return rows[[*CONTEXT, "model", "seed", "image", "subject", "reader", "value"]]
