"""Average the gaze, and regions that ask for it, after registering the images' boxes; place it on images."""

from sightline import arrays, center_bias, tables
from sightline.running import jobs


def place(inputs, params):
    """Rows of table 'center_bias' and their maps: of the gaze, then of each of the regions."""
    images = tables.read("images", inputs.images)
    gaze, regions = tables.read("gaze", inputs.gaze), tables.read("regions", inputs.regions)
    strata = tables.read("strata", inputs.strata)
    boxes = center_bias.image_boxes(tables.read_all("boxes", inputs.boxes), images, params.box)
    looked_at = images[images["evaluated"] | images["image"].isin(gaze["image"])]
    how = {"boxes": boxes, "leave_outs": params.leave_out, "scale": params.scale}
    parts = [center_bias.place_all(gaze, arrays.open_flat(inputs.gaze_values), images=looked_at, **how)]
    values = arrays.open_flat(inputs.region_values)
    for name, alike in params.regions.items():
        groups = center_bias.groups(strata, alike)
        parts.append(center_bias.place_region(name, regions, values, images=images, alike=groups, **how))
    return center_bias.joined(parts)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        rows, maps = place(snakemake.input, snakemake.params)
        with arrays.Writer(snakemake.output.values, "float32") as store:
            for values in jobs.progress(maps, len(rows), "images"):
                store.append(values)
        tables.write("center_bias", rows, snakemake.output.table, values=snakemake.output.values)
