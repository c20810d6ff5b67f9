"""The rule's script: several datasets, which may call different images by one name."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from scripts import summarise_classification

from sightline import tables
from sightline.classification.summary import TABLES

IMAGES = 24


def written(folder, dataset: str, per_subject: int) -> tuple[str, pd.DataFrame]:
    """A file of table images, and predictions of two labels by two seeds."""
    rows, said = [], []
    draws = np.random.default_rng(0)
    for at in range(IMAGES):
        row = dict.fromkeys(tables.SCHEMAS["images"].columns, "") | {"dataset": dataset, "image": f"i{at}"}
        row |= {"subject": f"s{at // per_subject}", "height": 8, "width": 8, "evaluated": True}
        rows.append(row | {"spacing_y": None, "spacing_x": None})
        for seed in (0, 1):
            logit = draws.normal() + at % 2
            for label, sign in (("no", -1), ("yes", 1)):
                value = float((at % 2 == 1) == (label == "yes"))
                row = {"dataset": dataset, "model": f"of_{dataset}", "condition": "clean", "seed": seed}
                said.append(row | {"image": f"i{at}", "label": label, "logit": sign * logit, "value": value})
    path = folder / f"images_{dataset}.parquet"
    tables.write("images", pd.DataFrame(rows), path)
    return str(path), pd.DataFrame(said)


def summarised(folder, images: list[str], said: pd.DataFrame) -> dict[str, pd.DataFrame]:
    tables.write("predictions", said, folder / "predictions.parquet")
    inputs = SimpleNamespace(images=images, predictions=[str(folder / "predictions.parquet")])
    outputs = SimpleNamespace(**{name: folder / f"{name}.parquet" for name in TABLES})
    chosen = {"interval": "crossed_bootstrap", "resamples": 100, "level": 0.95}
    exclusive = ["of_one", "of_other"]
    summarise_classification.summarise(
        inputs, outputs, SimpleNamespace(exclusive=exclusive, statistics=chosen, study_seed=0)
    )
    return {name: tables.read(name, getattr(outputs, name)) for name in TABLES}


def test_images_of_one_name_belong_to_their_own_datasets_subjects(tmp_path):
    one, of_one = written(tmp_path, "one", per_subject=1)
    other, of_other = written(tmp_path, "other", per_subject=6)
    both = summarised(tmp_path, [one, other], pd.concat([of_one, of_other]))
    made = both["classification"].set_index(["dataset", "label", "metric"])["interval"]
    assert "24 subjects" in made["one", "mean", "auc"] and "4 subjects" in made["other", "mean", "auc"]
    assert "24 subjects" not in made["other", "mean", "auc"]
    alone = summarised(tmp_path, [other], of_other)
    for name in TABLES:  # a dataset's numbers do not depend on what else the study holds
        here = both[name][both[name]["dataset"] == "other"].reset_index(drop=True)
        pd.testing.assert_frame_equal(here, alone[name], check_dtype=False)


def test_a_study_without_predictions_has_empty_tables(tmp_path):
    one, said = written(tmp_path, "one", per_subject=1)
    assert all(len(table) == 0 for table in summarised(tmp_path, [one], said[:0]).values())
