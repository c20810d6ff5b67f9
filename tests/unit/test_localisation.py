"""Mass inside a region, mass over area and the pointing game, in closed form."""

import numpy as np
import pytest

from sightline.metrics.localisation import mass_inside, mass_over_area, pointing_game


def region(shape=(10, 20)):
    mask = np.zeros(shape, dtype=bool)
    mask[2:6, 5:15] = True  # 40 of 200 pixels
    return mask


def test_a_constant_map_scores_the_area():
    flat = np.full((10, 20), 0.3)
    assert mass_inside(flat, region()) == pytest.approx(0.2, abs=1e-7)
    assert mass_over_area(flat, region()) == pytest.approx(1.0, abs=1e-6)
    assert pointing_game(flat, region()) == pytest.approx(0.2, abs=1e-12)


@pytest.mark.parametrize("inside, expected", [(4.0, 0.5), (0.0, 0.0), (12.0, 0.75)])
def test_mass_inside_in_closed_form(inside, expected):
    values = np.where(region(), inside, 1.0)  # 160 pixels of 1 outside
    assert mass_inside(values, region()) == pytest.approx(expected, abs=1e-12)
    assert mass_over_area(values, region()) == pytest.approx(expected / 0.2, abs=1e-12)


def test_negative_values_are_no_mass():
    values = np.where(region(), 1.0, -5.0)
    values[0, 0] = 10.0
    assert mass_inside(values, region()) == pytest.approx(0.8, abs=1e-12)


def test_pointing_game_and_its_ties():
    values = np.zeros((10, 20))
    values[3, 7] = 2.0
    assert pointing_game(values, region()) == 1.0
    values[0, 0] = values[9, 9] = values[9, 10] = 2.0
    assert pointing_game(values, region()) == 0.25
    values[3, 7] = 1.9
    assert pointing_game(values, region()) == 0.0
    assert pointing_game(values - 5, region()) == 0.0  # negative everywhere, and still a maximum


@pytest.mark.parametrize("values", [np.zeros((10, 20)), -np.ones((10, 20))])
def test_no_positive_mass_is_undefined(values):
    assert np.isnan(mass_inside(values, region())) and np.isnan(mass_over_area(values, region()))
    assert np.isnan(mass_over_area(np.ones((10, 20)), np.zeros((10, 20), bool)))


def test_any_dimension_and_its_errors():
    volume = np.zeros((4, 5, 6))
    volume[1, 2, 3] = 3.0
    volume[0, 0, 0] = 1.0
    mask = volume > 2
    assert mass_inside(volume, mask) == 0.75
    assert mass_over_area(volume, mask) == pytest.approx(0.75 * 120, abs=1e-9)
    with pytest.raises(ValueError, match="shapes differ"):
        mass_inside(volume, mask[0])
    with pytest.raises(ValueError, match="not finite"):
        pointing_game(np.where(mask, np.nan, volume), mask)
