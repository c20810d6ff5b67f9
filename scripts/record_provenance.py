"""Record of what the study's tables were made: files, code, params, seeds, packages, hardware, times."""

from pathlib import Path

from sightline.running import jobs, seals
from sightline.watching import study_record

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        output = Path(snakemake.output[0])
        record = study_record.of_study(
            output.parent,
            snakemake.params.config,
            snakemake.params.seeds,
            snakemake.params.identifying,
            Path(snakemake.input.lock),
        )
        seals.write_json(output, record)
