"""The error tree: codes, exit statuses, hints."""

import pickle
import re

import pytest

from graft.core.errors import CODES, BadInput, GraftError, ImageRefused, IntegrityProblem, ResourceProblem

KINDS = [GraftError, BadInput, ImageRefused, ResourceProblem, IntegrityProblem]


@pytest.mark.parametrize("kind", KINDS)
def test_message_hint_and_code(kind: type[GraftError]) -> None:
    error = kind("X must be 1, got 2.", hint="Say 1.")
    assert (error.message, error.hint, str(error)) == ("X must be 1, got 2.", "Say 1.", "X must be 1, got 2. Say 1.")
    assert error.code == kind.default_code
    assert str(kind("X must be 1, got 2.")) == "X must be 1, got 2."
    assert kind("X.", code="locked").code == "locked"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_a_process_boundary(kind: type[GraftError]) -> None:
    error = pickle.loads(pickle.dumps(kind("X.", hint="Y.", code="corrupt")))
    assert type(error) is kind
    assert (error.message, error.hint, error.code) == ("X.", "Y.", "corrupt")


def test_exit_statuses() -> None:
    assert [kind.exit_status for kind in KINDS] == [1, 2, 2, 3, 4]


def test_codes_are_words_that_are_explained() -> None:
    assert all(re.fullmatch("[a-z][a-z_]*", code) and meaning for code, meaning in CODES.items())
    with pytest.raises(ValueError, match="'no_such_code'"):
        BadInput("X.", code="no_such_code")
    with pytest.raises(TypeError):
        CODES["new"] = "no"  # type: ignore[index]
