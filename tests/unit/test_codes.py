"""Codes of errors: each is in the catalogue, with what it means and what to do."""

from __future__ import annotations

import re

import pytest

from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import PermanentStepError, RequestRefused, TransientStepError


@pytest.mark.parametrize("kind", [PermanentStepError, TransientStepError, RequestRefused])
def test_an_error_whose_code_nobody_catalogued_cannot_be_raised(kind):
    with pytest.raises(KeyError):
        kind("http.no_such_code")


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_a_namespace_a_meaning_and_a_remedy(code):
    assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code)
    assert CATALOGUE[code].meaning.strip()
    assert CATALOGUE[code].remedy.strip()
