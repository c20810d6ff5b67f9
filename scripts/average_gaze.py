"""Average the gaze after registering the images' boxes, and place it back on every image."""

from sightline import arrays, center_bias, jobs, tables

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        with arrays.Writer(snakemake.output.values, "float32") as store:
            rows = center_bias.place_all(
                tables.read("gaze", snakemake.input.gaze),
                arrays.open_flat(snakemake.input.gaze_values),
                tables.read("boxes", snakemake.input.boxes),
                tables.read("images", snakemake.input.images),
                snakemake.params.box,
                snakemake.params.leave_out,
                store,
            )
        tables.write("center_bias", rows, snakemake.output.table, values=snakemake.output.values)
