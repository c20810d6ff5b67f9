"""The two tables of docs/scale.md: what was measured at full size, and what the whole study costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import WORDS, markdown

BEGIN, END = "<!-- made by benchmarks.scale: begin -->", "<!-- made by benchmarks.scale: end -->"
TIMES = (1, 10, 100)
GIGABYTES, SLOPE = 8.0, 1.2  # what memory and slopes stay below
NONE = "–"


@dataclass(frozen=True)
class Measured:
    """A stage at full size: how many of what, CPU seconds, peak memory (1e9 bytes), the slope of its time.

    Memory and slope are None where they were not measured.
    """

    stage: str
    size: str
    seconds: float
    gigabytes: float | None = None
    slope: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a stage costs at full size: its jobs, hours, memory and storage (1e9 bytes); None: not measured.

    `memory` is of its largest job: what grows with the size, and what does not.
    """

    stage: str
    jobs: int
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    memory: tuple[float, float] | None = None
    storage: float | None = None


def measured_table(found: Iterable[Measured]) -> str:
    """Markdown: a row per stage, and whether it keeps to `GIGABYTES` and `SLOPE`."""
    rows = []
    for one in found:
        bounds = [(one.gigabytes, GIGABYTES), (one.slope, SLOPE)]
        kept = [value < most for value, most in bounds if value is not None]
        memory = NONE if one.gigabytes is None else bytes_of(one.gigabytes)
        slope = NONE if one.slope is None else f"{one.slope:.2f}"
        rows.append(
            (one.stage, one.size, f"{one.seconds:,.0f}", memory, slope, WORDS[all(kept)] if kept else NONE)
        )
    head = ("stage", "of", "CPU s", "memory", "slope", f"below {GIGABYTES:g} GB and {SLOPE:g}")
    return markdown(head, rows)


def cost_table(costs: Sequence[Cost]) -> str:
    """Markdown: a row per stage and two for all of them, with training on a processor and on a GPU.

    Cells of three numbers are at 1, 10 and 100 times the size.
    """
    rows = [
        (
            cost.stage,
            str(cost.jobs),
            at_times(cost.cpu_hours),
            at_times(cost.gpu_hours),
            NONE if cost.memory is None else at_times(*cost.memory, shown=bytes_of),
            at_times(cost.storage, shown=bytes_of),
        )
        for cost in costs
    ]
    jobs = str(sum(cost.jobs for cost in costs))
    memory = [cost.memory for cost in costs if cost.memory is not None]
    most = [max((times * grows + fixed for grows, fixed in memory), default=0.0) for times in TIMES]
    held = " / ".join(map(bytes_of, most))
    stored = at_times(sum(cost.storage or 0.0 for cost in costs), shown=bytes_of)
    hours = at_times(sum(cost.cpu_hours or 0.0 for cost in costs))
    beside = at_times(sum(cost.cpu_hours or 0.0 for cost in costs if cost.gpu_hours is None))
    on_gpu = at_times(sum(cost.gpu_hours or 0.0 for cost in costs))
    rows.append(("**all, without a GPU**", jobs, hours, NONE, held, stored))
    rows.append(("**all, training on a GPU**", jobs, beside, on_gpu, held, stored))
    head = ("stage", "jobs", "CPU hours", "GPU hours", "memory of the largest job", "storage")
    return markdown(head, rows)


def at_times(growing: float | None, fixed: float = 0.0, shown: Callable[[float], str] | None = None) -> str:
    """What is `growing` with the size, and what is not, at `TIMES` the size: `2.5 / 25 / 252`."""
    if growing is None:
        return NONE
    return " / ".join((shown or number)(times * growing + fixed) for times in TIMES)


def bytes_of(gigabytes: float) -> str:
    """With its unit: MB, GB or TB."""
    for unit, size in (("TB", 1e3), ("GB", 1.0)):
        if float(f"{gigabytes:.2g}") >= size:
            return f"{number(gigabytes / size)} {unit}"
    return f"{number(gigabytes * 1e3)} MB"


def number(value: float) -> str:
    """Two digits that count, three of what is 100 or more; thousands apart."""
    rounded = float(f"{value:.2g}" if value < 100 else f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"


def made(machine: str, measured: Sequence[Measured], costs: Sequence[Cost]) -> str:
    """Both tables, each under a line that says what it shows."""
    return (
        f"Measured on {machine}:\n\n{measured_table(measured)}\n\n"
        f"The whole study, at {' / '.join(map(str, TIMES))} times the size:\n\n{cost_table(costs)}\n"
    )


def write(page: Path, text: str) -> None:
    """Put `text` between the two marks of `page`. Raises `SystemExit` where it lacks them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: lacks the marks {BEGIN} and {END}; put them where the tables belong")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
