"""Speed and memory: all benchmarks, or those named, and one table of what was measured.

    make benchmarks, or PYTHONPATH=src python -m benchmarks [names] [--quick] [--page docs/performance.md]

Each benchmark is a module with `run(quick)`, which prints how it measured and returns rows. Ratios are of two
things timed in one run; wall times depend on the machine's load, which is printed. Nothing fails here.
"""

import argparse
import importlib
from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import Row

NAMES = (
    "gaze",
    "scores",
    "gradcam",
    "cam_libraries",
    "perturbation",
    "placement",
    "intervals",
    "coverage",
    "training",
    "data_path",
    "accelerator",
    "dicom",
    "demo",
    "dry_run",
)
RULE = "\n---\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(NAMES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer repeats (demo and dry_run: the same)")
    parser.add_argument(
        "--page", type=Path, help="a page whose table, below its line of dashes, gets these rows"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    quick = ", quick" if arguments.quick else ""
    machine = f"{measuring.machine()}{quick}"
    rows: dict[str, list[Row]] = {}
    for name in arguments.names or NAMES:
        print(f"\n## {name} (load {measuring.load()})", flush=True)
        rows[name] = importlib.import_module(f"benchmarks.{name}").run(arguments.quick)
        if arguments.page:
            text, _, old = arguments.page.read_text(encoding="utf-8").partition(RULE)
            known = measuring.machines_of(old)
            here = known.get(machine, {}) | rows
            known[machine] = {name: here[name] for name in NAMES if name in here}
            arguments.page.write_text(f"{text}{RULE}{measuring.machines(known)}", encoding="utf-8")
    print(f"\n{machine}\n\n{measuring.table(rows)}")


if __name__ == "__main__":
    main()
