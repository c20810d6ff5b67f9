"""Where an interval lies beside chance."""

import numpy as np
import pytest

from sightline.report.chance import SIDES, lies


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [
        (0.6, 0.7, "above"),
        (0.4, 0.7, "across"),
        (0.5, 0.7, "across"),
        (0.2, 0.4, "below"),
        (np.nan, np.nan, "unknown"),  # of one subject: nothing is said of chance
        (None, None, "unknown"),
    ],
)
def test_the_interval_decides(low, high, side):
    assert lies({"low": low, "high": high}, 0.5) == side and side in SIDES
