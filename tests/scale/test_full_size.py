"""Tables of the releases' full size through every stage that reads them: inside 8 GB, and none quadratic.

Each stage runs in a process of its own, on a sixteenth of the size and on all of it. Asserted are peak memory
and how CPU time grows, not how long anything takes.
"""

from pathlib import Path

import pytest
from benchmarks import full_size_breast, full_size_stages, scale

from sightline.datasets import dataset

GIGABYTES = 8.0
SMALL = 1 / 16
SLOPE = 1.25  # of the logarithms over a factor of 16: a quadratic step of any weight exceeds it
FILMS = 2616


def check(name: str, small: full_size_stages.Spent, full: full_size_stages.Spent) -> None:
    """Print what a stage took at both sizes, and hold it to its bounds."""
    exponent = scale.slope([small.size, full.size], [small.seconds, full.seconds])
    print(f"{name}: {full.size} in {full.seconds:.0f} CPU s, {full.gigabytes:.2f} GB, slope {exponent:.2f}")
    assert full.size > 10 * small.size
    assert full.gigabytes < GIGABYTES
    assert exponent < SLOPE


@pytest.fixture(scope="module")
def chest(tmp_path_factory) -> tuple[Path, Path]:
    """Folders with the tables of a sixteenth, and of all."""
    folders = []
    for share in (SMALL, 1.0):
        folders.append(tmp_path_factory.mktemp("chest"))
        full_size_stages.write_tables(folders[-1], share)
    return folders[0], folders[1]


@pytest.mark.xdist_group("full_size_chest")
def test_the_chest_study_reads_plans_and_renders_at_full_size(chest):
    sizes = {}
    for stage in full_size_stages.STAGES:
        if stage not in (full_size_stages.write_scores, full_size_stages.summarise):
            small, full = (full_size_stages.spent(stage, folder) for folder in chest)
            check(stage.__name__, small, full)
            sizes[stage.__name__] = full.size
    assert sizes["read_dataset"] == 377_110
    assert sizes["render_gaze"] == 3_032
    assert sizes["average_references"] == FILMS
    assert 0.98 * FILMS < sizes["render_regions"] <= FILMS, "some films are in no study with labels"


@pytest.mark.xdist_group("full_size_scores")
def test_millions_of_scores_are_summarised(tmp_path):
    found = {}
    for films in (FILMS // 16, FILMS):
        folder = tmp_path / str(films)
        full_size_stages.spent(full_size_stages.write_scores, folder, films=films)
        found[films] = full_size_stages.spent(full_size_stages.summarise, folder)
    check("summarise", *found.values())
    assert found[FILMS].size > 3e6


@pytest.mark.xdist_group("full_size_scores")
def test_planning_takes_time_by_the_jobs(tmp_path):
    """A study of thousands of jobs costs no more a job than one of dozens (whose start weighs more)."""
    few, seconds = scale.planned("cxr_gaze")
    many, longer = scale.planned("mammography")
    print(f"{few} jobs in {seconds:.0f} CPU s, {many} jobs in {longer:.0f} CPU s")
    assert many > 20 * few
    assert longer / many < seconds / few


@pytest.mark.xdist_group("full_size_scores")
def test_cbis_ddsm_is_read_as_a_whole(real, tmp_path):
    files = full_size_breast.write(tmp_path, real / "cbis_ddsm_tables")
    found = dataset.read("cbis", tmp_path, "cbis_ddsm", {}, {})
    assert files == 3_103 + 2 * 3_568 == 10_239
    assert found.skipped.empty
    assert len(found.images) == 3_103 - 64, "all but the training images of patients who test"
    assert (found.masks["encoding"] == "file").all()
