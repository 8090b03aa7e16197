from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from blockd.admin.facts import ENFORCEABLE, UPSTREAM_RESULTS, Facts, ListFacts
from blockd.terms import ListName, Mode
from tests.admin.facts import full_facts


def test_facts_cannot_be_changed():
    facts = full_facts()
    with pytest.raises(FrozenInstanceError):
        facts.version = "x"
    with pytest.raises(FrozenInstanceError):
        facts.lists[0].version = 1


def test_a_gateway_that_knows_nothing_yet_has_facts():
    facts = Facts(version="0.1.0", lists=(ListFacts(ListName("f/a"), Mode.SHADOW),))
    assert (facts.table.generation, facts.audit.size, facts.lists[0].state) == (0, 0, "none")


def test_label_sets_are_closed_and_without_doubles():
    for words in (ENFORCEABLE, UPSTREAM_RESULTS):
        assert len(set(words)) == len(words)
