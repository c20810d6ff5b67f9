"""Write a phantom dataset in the upstream formats, and the digests of its files."""

import json
from pathlib import Path

from sightline import jobs, seals
from sightline.phantom import tree


def make_phantom(folder: Path, seed: int, options: dict, digests: Path) -> None:
    """Write the phantom into `folder`; `digests` gets the SHA-256 of every file, by relative path."""
    tree.write(folder, seed, **options)
    digests.write_text(json.dumps(seals.digests(folder), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        make_phantom(
            Path(snakemake.params.folder),
            snakemake.params.seed,
            snakemake.params.options,
            Path(snakemake.output.digests),
        )
