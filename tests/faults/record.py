"""What a fault did when a test injected it: one file per fault, from which docs/reliability.md is made."""

import hashlib
import json
import os
import re
from pathlib import Path

FOLDER = "SIGHTLINE_FAULT_RECORDS"


def record(fault: str, how: str, measured: str) -> None:
    """Writes one fault's record into the folder that the environment names; where it names none, nothing.

    `fault` says what goes wrong, `how` how the test brings it about, `measured` what was seen after it, each
    in words that stand in a table. A fault recorded twice keeps its last record.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    name = re.sub(r"[^a-z0-9]+", "_", fault.lower()).strip("_")[:80]
    path = Path(folder) / f"{name}_{hashlib.sha256(fault.encode()).hexdigest()[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"fault": fault, "how": how, "measured": measured}, indent=2, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
