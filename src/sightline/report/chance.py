"""Where an interval lies, beside what chance would have."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

SIDES = {
    "above": "above chance",
    "across": "not distinguishable from chance",
    "below": "below chance",
    "unknown": "without an interval",
}


def lies(row: Mapping | pd.Series, value: float) -> str:
    """Where the interval of `row` (low, high) lies: above, below or across `value`; unknown without one."""
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return "unknown"
    if row["low"] > value:
        return "above"
    return "below" if row["high"] < value else "across"
