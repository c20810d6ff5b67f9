"""Render every reading's gaze map into the scoring frame."""

from sightline import arrays, gaze, tables
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        rows, maps = gaze.render_all(
            tables.read("fixations", snakemake.input.fixations),
            tables.read("images", snakemake.input.images),
            tables.read("readings", snakemake.input.readings),
            snakemake.params.scale,
        )
        with arrays.Writer(snakemake.output.values, "float32") as store:
            for values in jobs.progress(maps, len(rows), "readings"):
                store.append(values)
        tables.write("gaze", rows, snakemake.output.table, values=snakemake.output.values)
