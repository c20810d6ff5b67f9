"""The table of faults in docs/reliability.md, by what tests recorded: `python -m tests.faults.table FOLDER`.

The page keeps its text; what stands between its two marks is written anew.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- made by make reliability: begin -->", "<!-- made by make reliability: end -->"
# heading -> whether its faults are SLURM's
GROUPS = {"Snakemake, files, disks, clocks, downloads": False, "SLURM": True}


def is_slurms(fault: dict[str, str]) -> bool:
    return "slurm" in fault["fault"].lower()


def table(found: Sequence[dict[str, str]]) -> str:
    """Markdown: a table per group, sorted by fault; a group without a record says that it was not run."""
    parts = []
    for group, slurm in GROUPS.items():
        rows = sorted((one for one in found if is_slurms(one) is slurm), key=lambda one: one["fault"])
        parts.append(f"### {group}\n")
        if not rows:
            parts.append("Not run when this page was made (`make test-slurm` needs SLURM's packages).\n")
            continue
        parts.append("| fault | how it is injected | what was measured |\n|---|---|---|")
        parts += [f"| {cell(one['fault'])} | {cell(one['how'])} | {cell(one['measured'])} |" for one in rows]
        parts[-1] += "\n"
    return "\n".join(parts)


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def written(page: str, made: str) -> str:
    """`page` with `made` between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: lacks the marks {BEGIN} and {END}")
    return f"{before}{begin}\n\n{made}\n{end}{after}"


def main(folder: Path) -> None:
    """Write the page anew from the records in `folder`."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise SystemExit(f"{folder}: no record of a fault; set SIGHTLINE_FAULT_RECORDS and run the tests")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    print(f"{PAGE}: {len(found)} faults")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
