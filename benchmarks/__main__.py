"""Speed and memory: all benchmarks, or those named, and one table of what was measured.

    make benchmarks, or PYTHONPATH=src python -m benchmarks [names] [--quick] [--page docs/performance.md]

Each benchmark is a module with `run(quick)`, which prints how it measured and returns rows. Ratios are of two
things timed in one run; wall times depend on the machine's load, which is printed. Nothing fails here.
"""

import argparse
import importlib
from pathlib import Path

from benchmarks import measuring

NAMES = ("gaze", "scores", "gradcam", "intervals", "coverage", "training", "demo", "dry_run")
RULE = "\n---\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(NAMES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer repeats (demo and dry_run: the same)")
    parser.add_argument("--page", type=Path, help="a page whose part below its line of dashes is replaced")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    rows = []
    for name in arguments.names or NAMES:
        print(f"\n## {name} (load {measuring.load()})", flush=True)
        found = importlib.import_module(f"benchmarks.{name}").run(arguments.quick)
        rows += [(name, row) for row in found]
    made = f"{measuring.machine()}{', quick' if arguments.quick else ''}.\n\n{measuring.table(rows)}\n"
    print(f"\n{made}")
    if arguments.page:
        text = arguments.page.read_text(encoding="utf-8").partition(RULE)[0]
        arguments.page.write_text(f"{text}{RULE}{made}", encoding="utf-8")


if __name__ == "__main__":
    main()
