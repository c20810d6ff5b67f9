"""From what a table, or rows of it, came: jobs, code, params, inputs, down to upstream files with checksums.

`python -m sightline.trace results/<study>/summary.parquet [--row COLUMN=VALUE ...] [--all]`
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sightline.errors import SightlineError, TableError
from sightline.watching import lineage, study_record

# folder -> what the parts of paths below it say, in order
AXES = {
    "maps": ("dataset", "model", "seed", "condition", "method"),
    "scores": ("dataset", "model", "seed", "condition", "method"),
    "probes": ("dataset", "model", "seed", "condition", "method"),
    "artifacts": ("dataset", "model", "seed", "artifact"),
    "agreements": ("dataset", "agreement"),
    "models": ("model", "seed"),
    "masked": ("model", "seed"),
    "datasets": ("dataset",),
    "prepared": ("dataset",),
    "references": ("dataset",),
}
FEW = 2  # inputs of one rule that are followed, where they are many
DIGEST = 12  # characters of a digest that are shown
WIDEST = 110  # of what a job was told


@dataclass
class Chain:
    """The lines of a trace: what was said already is not said again."""

    made: Mapping[str, lineage.Made]
    record: Mapping[str, Any]
    axes: Mapping[str, str]
    every: bool = False
    lines: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def follow(self, path: str, depth: int = 0) -> None:
        """Say how `path` came to be, and how that came to be which it was made from."""
        indent, one = "  " * depth, self.made.get(path)
        if one is None:
            self.lines.append(f"{indent}{path}: no record of its making")
            return
        if path in self.said:
            return
        self.said.add(path)
        self.lines.append(f"{indent}{path}  {one.sha256[:DIGEST]}")
        if one.job not in self.said or not one.job:
            self.said.add(one.job)
            self.lines += [f"{indent}  | {line}" for line in self._job(one)]
        self.lines += [
            f"{indent}  {place}  {(digest or 'no digest')}  (upstream)"
            for place, digest in one.upstream.items()
        ]
        inputs = [place for place in one.inputs or () if narrowed(place, self.axes)]
        for rule, places in self._by_rule(inputs).items():
            new = [place for place in places if place not in self.said]
            followed = new if self.every else new[:FEW]
            for place in followed:
                self.follow(place, depth + 1)
            if len(new) > len(followed):
                self.lines.append(f"{indent}  ... and {len(new) - len(followed)} more by {rule} (--all)")

    def _by_rule(self, places: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for place in places:
            found.setdefault(self.made[place].rule if place in self.made else place, []).append(place)
        return found

    def _job(self, one: lineage.Made) -> list[str]:
        """The job, its code, what it was told, what it took."""
        lines = [f"{one.job or one.rule}, code {one.params.get('code', '')[:DIGEST]}"]
        told = {name: value for name, value in one.params.items() if name != "code"}
        text = json.dumps(told, sort_keys=True)
        if told:
            lines.append(text if self.every or len(text) <= WIDEST else f"{text[:WIDEST]} ... (--all)")
        costs = self.record.get("jobs", {}).get(one.job, {}).get("costs")
        if costs:
            where = ", ".join(str(costs[name]) for name in ("device", "processor") if costs.get(name))
            lines.append(
                f"{costs.get('seconds', 0):.3g} s, {costs.get('peak_bytes', 0) / 1e6:.0f} MB; {where}"
            )
        images = self._images(one)
        return lines + ([images] if images else [])

    def _images(self, one: lineage.Made) -> str:
        """Of a job that decoded a dataset's images: how many, and the digest of all."""
        if one.rule != "prepare":
            return ""
        dataset = one.job.partition("/")[2]
        images = self.record.get("datasets", {}).get(dataset, {}).get("images")
        return f"{images['files']} image files, digest of all {images['sha256']}" if images else ""


def narrowed(place: str, axes: Mapping[str, str]) -> bool:
    """Whether the file at `place` is of the dataset, model, seed ... that `axes` name."""
    folder, *parts = place.removesuffix(".parquet").split("/")
    names = AXES.get(folder, ())
    if len(parts) < len(names):  # of a whole dataset, such as the baselines' scores
        parts = parts[:-1]
    said = dict(zip(names, parts))
    said = {name: value.removeprefix("seed") if name == "seed" else value for name, value in said.items()}
    return all(axes.get(name, value) == value for name, value in said.items())


def rows_of(table: Path, conditions: Sequence[str]) -> pd.DataFrame:
    """The rows of a table in which each COLUMN=VALUE holds. Raises `TableError` where there is no such."""
    try:
        found = pq.read_table(table).to_pandas(ignore_metadata=True)
    except pa.ArrowInvalid as error:
        raise TableError(
            f"{table}: --row: is no table, or damaged ({error}); give a .parquet file"
        ) from error
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals or column not in found:
            raise TableError(
                f"{table}: --row {condition}: expected COLUMN=VALUE with one of the columns "
                f"{', '.join(map(str, found.columns))}"
            )
        kept = found[found[column].astype(str) == value]
        if kept.empty:
            values = ", ".join(sorted(map(str, found[column].unique()))[:10])
            raise TableError(f"{table}: --row {condition}: no row has it; '{column}' is one of {values}")
        found = kept
    return found


def axes_of(rows: pd.DataFrame) -> dict[str, str]:
    """What all of `rows` share of the axes by which files are parted."""
    names = {name for axes in AXES.values() for name in axes}
    shared = {name: rows[name].dropna().astype(str).unique() for name in names if name in rows}
    return {name: values[0] for name, values in shared.items() if len(values) == 1}


def study_of(table: Path) -> Path:
    """The study's folder in which `table` lies. Raises `SightlineError` where it is in none."""
    for folder in table.absolute().parents:
        if (folder / study_record.NAME).is_file() or folder.parent.name == "results":
            return folder
    raise SightlineError(
        f"{table}: lies in no study's folder (results/<study>/, or with {study_record.NAME})"
    )


def trace(table: Path, conditions: Sequence[str] = (), every: bool = False) -> str:
    """From what `table` came, or those of its rows in which the `conditions` (COLUMN=VALUE) hold.

    By the seals, or where the folder has none (a copy of what is visible) by its provenance.json. `every`
    follows all inputs, not the first of each rule. Raises `SightlineError` where there is no record.
    """
    if not table.is_file():
        raise SightlineError(f"{table}: no such file")
    study = study_of(table)
    record = study_record.read(study)
    made = lineage.read(study) or study_record.made(record)
    path = table.absolute().relative_to(study).as_posix()
    if path not in made:
        raise SightlineError(
            f"{table}: no record of its making: neither a seal nor {study_record.NAME} names it"
        )
    axes, lines = {}, []
    if conditions:
        rows = rows_of(table, conditions)
        axes = axes_of(rows)
        shared = ", ".join(f"{name} {value}" for name, value in sorted(axes.items()))
        lines = [f"{len(rows)} row{'s' if len(rows) > 1 else ''}; files of {shared or 'all axes'}", ""]
    chain = Chain(made, record, axes, every, lines)
    chain.follow(path)
    return "\n".join(chain.lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the chain of the table that is given."""
    parser = argparse.ArgumentParser(
        prog="python -m sightline.trace", description="From what a table, or rows of it, came."
    )
    parser.add_argument("table", type=Path, help="a file of a study, such as results/demo/summary.parquet")
    parser.add_argument(
        "--row", action="append", default=[], metavar="COLUMN=VALUE", help="of these rows alone"
    )
    parser.add_argument("--all", action="store_true", help="follow every input, show all that jobs were told")
    given = parser.parse_args(arguments)
    try:
        print(trace(given.table, given.row, given.all), end="")
    except (SightlineError, OSError) as error:
        print(f"sightline: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
