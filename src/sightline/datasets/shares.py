"""A share of subjects drawn by their names alone: the same one on every machine, whatever else is there."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable


def first(names: Iterable[str], share: float) -> set[str]:
    """The first `share`, rounded, of the distinct `names` in the order of their SHA-256.

    Names are hashed in Unicode's form NFC, so that every file system gives one order.
    """
    ordered = sorted(set(names), key=_hash)
    return set(ordered[: round(share * len(ordered))])


def _hash(name: str) -> str:
    return hashlib.sha256(unicodedata.normalize("NFC", name).encode()).hexdigest()
