"""Write a phantom dataset in the upstream formats, and the digests of its files."""

import json
from pathlib import Path

from sightline import modules, publishing, runs
from sightline.running import jobs, seals


def make_phantom(folder: Path, adapter: str, seed: int, options: dict, digests: Path) -> None:
    """Write what `adapter` reads into `folder`; `digests` gets every file's SHA-256, by relative path."""
    with runs.alone(folder, jobs.tell):
        modules.load("sightline.phantom", adapter).write(folder, seed, **options)
        publishing.write_text(digests, json.dumps(seals.digests(folder), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        make_phantom(
            Path(snakemake.params.folder),
            snakemake.params.adapter,
            snakemake.params.seed,
            snakemake.params.options,
            Path(snakemake.output.digests),
        )
