"""What a finished study leaves: no secret anywhere, nothing of single films in what may be shared."""

from tests.workflow import leaks
from tests.workflow.conftest import CANARY, CANARY_FIXATION, CANARY_SUBJECT, SECRETS, canary_film

FILM = {CANARY: canary_film().astype(float)}
NAMED = {CANARY, CANARY_SUBJECT, *map(str, CANARY_FIXATION)}


def test_the_canary_is_in_the_study(finished):
    """Else nothing of it could leak."""
    scores = finished.results / "scores/own/baselines.parquet"
    fixations = finished.results / "datasets/own/fixations.parquet"
    assert leaks.words_in(scores, NAMED) == [CANARY, CANARY_SUBJECT]
    assert leaks.numbers_in(fixations, CANARY_FIXATION) == list(CANARY_FIXATION)
    assert leaks.shows(leaks.prepared_films(finished.results, "own")[CANARY], FILM[CANARY])


def test_page_figures_and_aggregates_hold_nothing_of_a_film_that_may_not_be_passed_on(finished):
    pages, tables = leaks.shared_pages(finished.results), leaks.aggregates(finished.results)
    assert len(pages) > 20 and len(tables) > 8
    for path in pages:
        assert leaks.words_in(path, NAMED) == [], path
        assert leaks.films_in(path, FILM) == [], path
    for path in tables:
        assert leaks.words_in(path, NAMED) == [], path
        assert leaks.numbers_in(path, CANARY_FIXATION) == [], path
    page = (finished.results / "report.html").read_text()
    assert "of own, which may not. Left out for that reason: 1 figure." in page
    assert not (finished.results / "figures/overlays.own.svg").exists()


def test_a_page_that_stays_on_this_disk_shows_the_film_and_says_so(project):
    project.edit("study.yaml", "limits:", "report: {publish_images: local}\nlimits:")
    project.snakemake("--until", "report")
    page = project.results / "report.html"
    assert leaks.films_in(page, FILM) == [CANARY]
    assert "Keep it on this disk." in page.read_text() and leaks.words_in(page, NAMED) == []


def test_no_file_that_the_run_left_holds_a_secret_of_the_environment(finished):
    marks = [value.encode() for value in SECRETS.values()]
    files = [path for path in finished.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(".snakemake" in path.parts for path in files) and len(files) > 300
    assert [path for path in files if any(mark in path.read_bytes() for mark in marks)] == []
