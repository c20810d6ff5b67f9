"""Average the gaze after registering the images' boxes, and place it back on every image."""

from sightline import arrays, center_bias, jobs, tables

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        gaze = tables.read("gaze", snakemake.input.gaze)
        images = tables.read("images", snakemake.input.images)
        images = images[images["evaluated"] | images["image"].isin(gaze["image"])]
        rows, maps = center_bias.place_all(
            gaze,
            arrays.open_flat(snakemake.input.gaze_values),
            center_bias.image_boxes(
                tables.read_all("boxes", snakemake.input.boxes), images, snakemake.params.box
            ),
            images,
            snakemake.params.leave_out,
            snakemake.params.scale,
        )
        with arrays.Writer(snakemake.output.values, "float32") as store:
            for values in jobs.progress(maps, len(rows), "images"):
                store.append(values)
        tables.write("center_bias", rows, snakemake.output.table, values=snakemake.output.values)
