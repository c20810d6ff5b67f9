"""What an audit of the lock tells: vulnerabilities fail, a database that is not there is named."""

import json

import pytest

from tests import audit

FINE = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "X-1"}, {"id": "X-2"}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


def said(*found: dict, accepted: tuple[str, ...] = ()) -> tuple[int, str]:
    return audit.verdict(json.dumps({"dependencies": found, "fixes": []}), accepted)


def test_a_vulnerability_fails_unless_it_is_accepted():
    status, text = said(FINE, BAD, UNKNOWN)
    assert status == 1 and "2 of 3 locked packages" in text and "b 2: X-1, X-2" in text and "a 1" not in text
    assert said(BAD, accepted=("X-1",)) == (
        1,
        "1 of 1 locked packages audited; known vulnerabilities:\nb 2: X-2",
    )
    assert said(BAD, accepted=("X-1", "X-2"))[0] == 0


def test_nothing_audited_is_not_called_safe():
    assert said(FINE) == (0, "1 of 1 locked packages audited: no known vulnerability")
    assert said(UNKNOWN, UNKNOWN) == (
        0,
        "audit skipped: the database that answers from here knows none of the 2 packages",
    )


@pytest.mark.parametrize("printed", ["", "Traceback ...", "[]", '{"dependencies": [{"name": "a"}]}'])
def test_no_answer_is_a_word_and_no_failure(printed):
    status, text = audit.verdict(printed)
    assert status == 0 and text.startswith("audit skipped: no database")
    assert audit.verdict(printed, complained="a\nno such option\n")[1] == f"{text} (no such option)"


def test_without_uv_it_is_a_word():
    assert audit.audit("/nonexistent/uv") == (0, "audit skipped: FileNotFoundError")
