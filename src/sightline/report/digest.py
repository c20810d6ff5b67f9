"""A study's tables as Markdown, for pages of docs.

`python -m sightline.report.digest results/<study> [config/<study>.yaml]`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import yaml

from sightline import regions, tables
from sightline.errors import TableError
from sightline.figures import rows
from sightline.figures.trust import Asked
from sightline.report import (
    answers,
    classification_report,
    facts,
    prediction_answers,
    report_tables,
    trust_answers,
    trust_tables,
)
from sightline.report.page import Table
from sightline.report.study_page import IN_ANSWER
from sightline.running import seals


def digest(study: Path, config: Path | None = None) -> str:
    """Answer, trust in maps, cohort, classification, scores, leave-out, comparisons of the study in `study`.

    The numbers and sentences of the study's page, whose center bias is taken from the summary's own record;
    without the study's `config`, names stand by the alphabet and the first of them is the primary map.
    Raises `TableError` where the folder holds no summary.
    """
    if not (study / "summary.parquet").exists():
        raise TableError(f"{study}: no summary.parquet here; give the folder of a finished study")
    summary = tables.read("summary", study / "summary.parquet")
    comparisons = tables.read("comparisons", study / "comparisons.parquet")
    classification = tables.read("classification", study / "classification.parquet")
    cohort = tables.read_all("cohort", sorted(study.glob("datasets/*/cohort.parquet")))
    bias = primary_center_bias(study)
    areas = regions.mean_areas(tables.read_all("regions", sorted(study.glob("references/*/regions.parquet"))))
    given = yaml.safe_load(config.read_text(encoding="utf-8")) if config else None
    plan = facts.plan(given) if given else facts.Plan()
    summary, comparisons = (rows.arranged(table, plan.places) for table in (summary, comparisons))
    contrasts = tables.read_all("contrasts", sorted(study.glob("contrasts.parquet")))  # older studies: none
    looked = prediction_answers.answers(summary, contrasts, plan, areas, bias)
    said = answers.answer(summary, classification, comparisons, plan=plan, areas=areas, center_bias=bias)
    trusted, evidence = _trust(study, summary, facts.asked(given, areas) if given else [])
    command = f"python -m sightline.report.digest results/{study.resolve().name}"
    parts = [
        f"Made by `{command}{f' config/{config.name}' if config else ''}`.",
        _points([*looked, *said, *trusted[:IN_ANSWER]]),
        *(["## Can the maps be trusted?", _points(trusted)] if trusted else []),
        *_section("" if trusted else "Can the maps be trusted?", evidence),
        *_section("Images", [report_tables.cohort_table(cohort)]),
        *_section(
            "Classification",
            classification_report.tables_of(classification),
        ),
        *_section("Scores", report_tables.scores_tables(summary, bias)),
        *_section(
            "Right and wrong predictions",
            report_tables.contrasts_tables(rows.arranged(contrasts, plan.places), summary, bias),
        ),
        *_section("Leaving the image out of the center bias", report_tables.leave_out_table(summary)),
        *_section("Comparisons", report_tables.comparisons_tables(comparisons)),
    ]
    return "\n\n".join(parts) + "\n"


def _trust(study: Path, summary: pd.DataFrame, asked: Sequence[Asked]) -> tuple[list[str], list[Table]]:
    """The sentences and tables on trust in maps, from what the folder holds."""
    agreements, maps = (
        tables.read_all(name, [path for path in [study / f"{name}.parquet"] if path.exists()])
        for name in ("agreement_summary", "map_summary")
    )
    sentences = trust_answers.answers(asked, summary, agreements, maps)
    return sentences, trust_tables.tables_of(summary, agreements, maps)


def _points(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def primary_center_bias(study: Path) -> str | None:
    """The center bias of the study's main numbers, as its summary was made; None without a record."""
    made_by = seals.made_by(study / "summary.parquet") or {}
    return made_by.get("params", {}).get("statistics", {}).get("primary_center_bias")


def _section(title: str, found: Sequence[Table]) -> Iterator[str]:
    if found and title:
        yield f"## {title}"
    for table in found:
        yield _text(table.caption)
        yield markdown(table)


def markdown(table: Table) -> str:
    """A table in Markdown: words left, numbers right."""
    if table.frame.empty:
        return "None."
    names = [str(name) for name in table.frame.columns]
    sides = [":--" if name in table.left else "--:" for name in names]
    body = [[_text(cell) for cell in row] for row in table.frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [[*map(_text, names)], sides, *body])


def _text(value: object) -> str:
    """Text that Markdown takes as it is."""
    text = "" if pd.isna(value) else str(value)
    for mark in "\\|*_<`":
        text = text.replace(mark, f"\\{mark}")
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the digest of the study whose folder is given."""
    parser = argparse.ArgumentParser(
        prog="python -m sightline.report.digest", description="A study's tables as Markdown."
    )
    parser.add_argument("study", type=Path, help="a study's folder, such as results/demo")
    parser.add_argument("config", type=Path, nargs="?", help="its configuration, whose order is then taken")
    given = parser.parse_args(arguments)
    print(digest(given.study, given.config), end="")


if __name__ == "__main__":
    main()
