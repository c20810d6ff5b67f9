"""What the literature reports, as tables to set beside ours: one file per study, in the folder `published/`.

Only aggregates are kept; each row names its source. Texts and rows of the papers are not here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sightline.errors import ConfigError

FOLDER = Path(__file__).with_name("published")


def figures(study: str = "cxr_gaze") -> pd.DataFrame:
    """The published scores of `study`: the groups of table 'summary' with mean, low, high.

    Also n with what it counts (n_of), the table it stands in, and its source. Methods, models, readings and
    strata are called as in the study's configuration; a baseline's model and reading are "". Intervals are
    the paper's: see `intervals.pooled_normal`. Raises `ConfigError` for a study of which nothing is kept.
    """
    return _read(study, f"{study}.csv")


def classification(study: str = "cxr_gaze") -> pd.DataFrame:
    """The published test AUCs of `study`'s models: model, label or "mean", auc, low, high, seeds, source."""
    return _read(study, f"{study}_classification.csv")


def studies() -> list[str]:
    """The studies whose published scores are kept."""
    return sorted(path.stem for path in FOLDER.glob("*.csv") if not path.stem.endswith("_classification"))


def _read(study: str, name: str) -> pd.DataFrame:
    if study not in studies() or not (FOLDER / name).exists():
        raise ConfigError(f"report.published: {study!r}: expected one of {', '.join(studies())}, or null")
    return pd.read_csv(FOLDER / name, keep_default_na=False)
