"""What benchmarks share: CPU times of interleaved calls, a row of the table, the machine in words."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.running import leases


@dataclass(frozen=True)
class Row:
    """One measured number; `aim` in words, and whether it was met (None: there is no aim)."""

    what: str
    measured: str
    aim: str = ""
    ok: bool | None = None


def at_least(what: str, ratio: float, aim: float) -> Row:
    """A speed-up and the least one that is asked for."""
    return Row(what, f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x", f"at least {aim:g}x", ratio >= aim)


def below(what: str, value: float, aim: float, unit: str, digits: int = 1) -> Row:
    """A cost in `unit` and what it must stay below."""
    return Row(what, f"{value:.{digits}f} {unit}", f"below {aim:g} {unit}", value < aim)


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU seconds of this process that one call takes."""
    start = time.process_time()
    call()
    return time.process_time() - start


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of every call, `repeats` times in turn, so that a busy spell meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(cpu_seconds(call))
    return times


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of every call of `interleaved`."""
    return {name: statistics.median(found) for name, found in interleaved(calls, repeats).items()}


def load() -> str:
    """How busy the machine is: running processes per core, mean of the last minute."""
    return f"{os.getloadavg()[0] / os.cpu_count():.1f} per core"


def machine() -> str:
    """The processor's name, the number of cores, and the GPUs that this process may use."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpus = [gpu.name for gpu in leases.found().gpus]
    return ", ".join([names[0] if names else "unknown processor", f"{os.cpu_count()} cores", *gpus])


HEAD = ("benchmark", "what", "measured", "aim", "met")
WORDS = {True: "yes", False: "no", None: ""}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that reads well as plain text too."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    shown = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines
    ]
    return "\n".join([shown[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *shown[1:]])


def table(rows: dict[str, list[Row]]) -> str:
    """The rows of each benchmark as one Markdown table."""
    cells = [(name, r.what, r.measured, r.aim, WORDS[r.ok]) for name, found in rows.items() for r in found]
    return markdown(HEAD, cells)


def rows_of(text: str) -> dict[str, list[Row]]:
    """The rows of a `table` that was written before."""
    rows: dict[str, list[Row]] = {}
    for line in [line for line in text.splitlines() if line.startswith("| ")][1:]:
        name, what, measured, aim, word = (cell.strip() for cell in line.strip("|").split("|"))
        ok = {word: value for value, word in WORDS.items()}[word]
        rows.setdefault(name, []).append(Row(what, measured, aim, ok))
    return rows


def machines(tables: dict[str, dict[str, list[Row]]]) -> str:
    """The table of every machine, each under a line with its name."""
    return "\n".join(f"{name}.\n\n{table(rows)}\n" for name, rows in tables.items())


def machines_of(text: str) -> dict[str, dict[str, list[Row]]]:
    """The rows of each machine in what `machines` wrote."""
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        if not line.startswith("|"):
            found[line.removesuffix(".")] = []
        elif found:
            found[next(reversed(found))].append(line)
    return {name: rows_of("\n".join(lines)) for name, lines in found.items()}
