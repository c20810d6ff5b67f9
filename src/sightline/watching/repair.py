"""Results that differ from their seals, and all that came of them, taken away: a run makes them again."""

from __future__ import annotations

import shutil
from pathlib import Path

from sightline.errors import SightlineError
from sightline.running import jobs, marks, seals
from sightline.watching import lineage, states


def findings(study: Path) -> dict[str, str]:
    """What is to be removed from the folder `study`: path below it -> why, causes before what came of them.

    Outputs that are missing beside their seals, truncated or changed; those that a killed job left half made;
    and what was made from them, as the seals tell.
    """
    made = lineage.read(study, content=True)
    bad = {path: one.problem for path, one in made.items() if one.problem is not None}
    for path, mark in marks.found(study):
        if marks.alive(mark) is False:
            for place in mark.outputs:
                output = states.below(study, place)
                if output not in made and (study / output).exists():
                    bad[output] = f"{mark.job} was killed while it made this"
            bad.setdefault(path.relative_to(study).as_posix(), f"the mark of {mark.job}, which was killed")
    for path in sorted(study.rglob("*.part")):
        bad[path.relative_to(study).as_posix()] = "half written"
    after = lineage.came_of(made, bad)
    return bad | {path: f"made from {through}" for path, through in after.items()}


def unknown(study: Path) -> list[str]:
    """Outputs whose seals are of a time when inputs were not recorded: what came of what cannot be told."""
    return [path for path, one in lineage.read(study).items() if one.problem is None and one.inputs is None]


def repair(study: Path) -> dict[str, str]:
    """Remove what `findings` lists, with seals and costs, and return it.

    Raises `SightlineError` where a job of the study runs, or may run on another host: it would read what is
    removed.
    """
    for path, mark in marks.found(study):
        if (alive := marks.alive(mark)) is not False:
            known = "" if alive else f"; if it is known to be no more, remove {path}"
            raise SightlineError(
                f"{study}: {mark.job} is running (process {mark.pid} on {mark.host}); nothing was removed; "
                f"end that run first, or wait for it{known}"
            )
    found = findings(study)
    for path in found:
        remove(study / path)
    return found


def remove(output: Path) -> None:
    """Remove an output, be it a folder, and the records beside it."""
    if output.is_dir() and not output.is_symlink():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)
    for record in (seals.seal_path(output), jobs.costs_path(output), marks.path_of(output)):
        record.unlink(missing_ok=True)
