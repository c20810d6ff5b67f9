"""Scores as intervals, by stratum, by center bias, and spread over images."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sightline import published, regions, tables
from sightline.figures import center_bias, distributions, intervals, rows, strata, style, words
from sightline.report import captions, page
from sightline.running import jobs


def scores_at(paths: Iterable[str], place: tuple[str, str]) -> pd.DataFrame:
    """The scores of one (dataset, reference) in all these files: those of a whole study may be millions."""
    return pd.concat([rows.at(tables.read("scores", path), place) for path in paths], ignore_index=True)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        params, files = snakemake.params, snakemake.input
        summary = tables.read("summary", files.summary)
        areas = regions.mean_areas(tables.read_all("regions", files.regions))
        known = published.figures(params.published) if params.published else None
        everyone = known[known["stratum"] == ""] if params.published else None
        chosen = {"center_bias": params.center_bias}
        everywhere = {"methods": params.methods}  # one colour each

        def drawn(name: str):
            """Figure and caption of one figure, by its name."""
            kind, *about, dataset, reference = name.split(".")
            here = rows.at(summary, (dataset, reference))
            if kind == "intervals":
                figure = intervals.draw(here, everyone, areas=areas, **chosen, **everywhere)
                return figure, intervals.caption(here, everyone, **chosen)
            if kind == "center_bias":
                return center_bias.draw(here), center_bias.caption(here)
            if kind == "strata":
                by = {"stratum": about[0], **chosen}
                return strata.draw(here, known, **by, **everywhere), strata.caption(here, known, **by)
            spread = scores_at([*files.scores, *files.baselines], (dataset, reference))
            drawn = distributions.draw(spread, **chosen, **everywhere)
            return drawn, distributions.caption(spread, **chosen)

        pictures: dict[str, list] = {}
        for name, path in zip(params.names, map(Path, snakemake.output.figures)):
            figure, caption = drawn(name)
            style.save(figure, path)
            kind, *group, dataset, reference = name.split(".")
            title = words.plain(", ".join([f"{dataset}: {reference}", *group]))
            pictures.setdefault(kind, []).append(page.Picture(path, caption, title=title))
        captions.write(pictures, snakemake.output.captions)
