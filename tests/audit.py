"""Known vulnerabilities of what the lock pins: `python -m tests.audit UV`; uv runs pip-audit beside the lock.

Where no database of vulnerabilities is reachable, or it knows none of the packages (a mirror), nothing is
audited: a line says so, and nothing fails.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
# identifier of a vulnerability -> why it does not concern this project
ACCEPTED: dict[str, str] = {}
SECONDS = 150  # no longer than that for an answer


def verdict(printed: str, accepted: Collection[str] = (), complained: str = "") -> tuple[int, str]:
    """Exit status and what to tell, from what pip-audit printed as JSON ("" or anything else: it failed).

    `complained`: what it said beside that, whose last line is told where it failed.
    """
    try:
        found = json.loads(printed)["dependencies"]
        known = [one for one in found if "skip_reason" not in one]
        vulnerable = {
            f"{one['name']} {one['version']}": [
                fault["id"] for fault in one["vulns"] if fault["id"] not in accepted
            ]
            for one in known
        }
    except (ValueError, LookupError, TypeError):
        last = f" ({complained.strip().splitlines()[-1]})" if complained.strip() else ""
        return 0, f"audit skipped: no database of vulnerabilities is reachable from here{last}"
    if not known:
        return (
            0,
            f"audit skipped: the database that answers from here knows none of the {len(found)} packages",
        )
    lines = [f"{name}: {', '.join(ids)}" for name, ids in vulnerable.items() if ids]
    audited = f"{len(known)} of {len(found)} locked packages audited"
    if lines:
        return 1, "\n".join([f"{audited}; known vulnerabilities:", *lines])
    return 0, f"{audited}: no known vulnerability"


def audit(uv: str) -> tuple[int, str]:
    """Run pip-audit on the lock, nothing installed or resolved; see `verdict`."""
    command = [uv, "tool", "run", "--quiet", "pip-audit", "--requirement", str(LOCK), "--require-hashes"]
    command += ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 0, f"audit skipped: {type(error).__name__}"
    return verdict(done.stdout, ACCEPTED, done.stderr)


if __name__ == "__main__":
    status, said = audit(sys.argv[1])
    print(said)
    sys.exit(status)
