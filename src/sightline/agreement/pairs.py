"""Which maps of the grid are compared with each other: cells that differ in one axis alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sightline.errors import ConfigError

AXES = ("condition", "seed", "method", "model")

Cell = Any  # has dataset, model, seed, condition, method; sorts; `study.Cell` or `scoring.MapsOf`


@dataclass(frozen=True)
class Group:
    """Cells that differ in one axis, sorted, and the `pairs` (a, b) of their places that are compared.

    With `fixed`, every pair's b is that cell, and all maps are read with its model's outputs: a reading that
    mixes classes by the outputs then mixes the same classes on both sides.
    """

    axis: str
    cells: tuple[Cell, ...]
    pairs: tuple[tuple[int, int], ...]
    fixed: int | None = None

    def outputs_of(self, place: int) -> Cell:
        """The cell whose model's outputs the maps of the cell at `place` are read with."""
        return self.cells[place if self.fixed is None else self.fixed]


def groups(cells: Iterable[Cell], agreement: Mapping[str, Any]) -> list[Group]:
    """The groups of `cells` that `agreement` compares, in order; of one cell there is nothing to compare.

    `agreement` holds `between`, one of `AXES`; `with`, the value of that axis that all others are compared
    with (None: every pair); `only` {axis: values}, which cells take part. Models are compared seed by seed:
    pairs that share no model, so that seeds are independent. Raises `ConfigError` for an axis that is none.
    """
    axis, fixed, only = agreement["between"], agreement.get("with"), agreement.get("only") or {}
    unknown = [name for name in (axis, *only) if name not in AXES]
    if unknown:
        raise ConfigError(f"agreements: {unknown[0]!r} is no axis; expected one of {', '.join(AXES)}")
    alike: dict[tuple, list[Cell]] = {}
    for cell in sorted(cells):
        if all(getattr(cell, name) in values for name, values in only.items()):
            key = (cell.dataset, *(getattr(cell, name) for name in AXES if name != axis))
            alike.setdefault(key, []).append(cell)
    return [group for part in alike.values() for group in _compared(axis, part, fixed)]


def _compared(axis: str, cells: Sequence[Cell], fixed: Any) -> Iterator[Group]:
    places = range(len(cells))
    if fixed is None:
        if len(cells) > 1:
            yield Group(axis, tuple(cells), tuple(combinations(places, 2)))
        return
    at = [place for place in places if getattr(cells[place], axis) == fixed]
    if at and len(cells) > 1:
        yield Group(axis, tuple(cells), tuple((place, at[0]) for place in places if place != at[0]), at[0])


def compared(cells: Iterable[Cell], agreement: Mapping[str, Any]) -> list[Cell]:
    """The `cells` that take part in `agreement`, sorted: those whose maps its job needs."""
    return sorted({cell for group in groups(cells, agreement) for cell in group.cells})
