"""What the literature reports, as tables to set beside ours: up to two files per study, in `published/`.

Only aggregates are kept; each row names its source. Texts and rows of the papers are not here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sightline.errors import ConfigError

FOLDER = Path(__file__).with_name("published")
CLASSIFICATION = "_classification"
SCORES = ["table", "model", "method", "reading", "reference", "metric", "center_bias", "stratum", "level"]
SCORES += ["mean", "low", "high", "n", "n_of", "source"]
CLASSIFIED = ["place", "dataset", "model", "label", "metric", "value", "low", "high", "positives", "images"]
CLASSIFIED += ["seeds", "source"]


def figures(study: str = "cxr_gaze") -> pd.DataFrame:
    """The published scores of `study`: the groups of table 'summary' with mean, low, high.

    Also n with what it counts (n_of), the table it stands in, and its source. Methods, models, readings and
    strata are called as in the study's configuration; a baseline's model and reading are "". Intervals are
    the paper's: see `intervals.pooled_normal`. Empty where the paper has none. Raises `ConfigError` for a
    study of which nothing is kept.
    """
    return _read(study, "", SCORES)


def classification(study: str = "cxr_gaze") -> pd.DataFrame:
    """How well `study`'s models classify, as published: rows of table 'classification' with their source.

    Datasets ("" for any), models and labels are called as in the study's configuration, "mean", "weighted"
    and "all" as in that table; low and high are "" where the paper gives none. `place` is the table or
    section: where a paper gives two values of one number, both stand here. Empty, or an error, as `figures`.
    """
    return _read(study, CLASSIFICATION, CLASSIFIED)


def studies() -> list[str]:
    """The studies of which published values are kept."""
    return sorted({path.stem.removesuffix(CLASSIFICATION) for path in FOLDER.glob("*.csv")})


def _read(study: str, ending: str, columns: list[str]) -> pd.DataFrame:
    if study not in studies():
        raise ConfigError(f"report.published: {study!r}: expected one of {', '.join(studies())}, or null")
    path = FOLDER / f"{study}{ending}.csv"
    if not path.exists():
        return pd.DataFrame(columns=columns)
    text = {"dataset": str, "label": str}  # digits are labels, not numbers
    return pd.read_csv(path, keep_default_na=False, dtype=text)[columns]
