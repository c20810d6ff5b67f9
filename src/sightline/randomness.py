"""Generators derived from (study seed, purpose, unit), so that no result depends on the order of jobs."""

import hashlib

import numpy as np


def derived_seed(seed: int, *units: object) -> int:
    """A 63-bit seed for one purpose: SHA-256 over the study's seed and the units' text.

    Equal arguments give equal seeds on every platform; `units` name the purpose and the unit it serves,
    e.g. ``derived_seed(0, "uniform_noise", "cxr", image)``.
    """
    text = "\x1f".join(str(unit) for unit in (seed, *units))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *units: object) -> np.random.Generator:
    """A NumPy generator for one purpose and unit; see `derived_seed`."""
    return np.random.default_rng(derived_seed(seed, *units))
