from __future__ import annotations

import pytest

from blockd.cli.selftest import describe, expectation
from blockd.dns.build import Answer
from blockd.policy.verdict import Verdict
from blockd.terms import Action


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (Verdict(), Answer(0, False, ("198.51.100.7",), 1, ())),
        (Verdict(Action.STOP_PAGE, ede=15), Answer(0, False, ("192.0.2.80",), 1, (15,))),
        (Verdict(Action.NXDOMAIN, ede=16), Answer(3, False, (), 0, (16,))),
        (Verdict(Action.NODATA, ede=17), Answer(0, False, (), 0, (17,))),
        (Verdict(Action.REFUSED, ede=15), Answer(5, False, (), 0, (15,))),
    ],
)
def test_the_right_answer_is_described_as_expected(verdict, answer):
    assert describe(answer) == expectation(verdict, has_page=True)


def test_a_wrong_answer_is_not():
    blocked = Verdict(Action.NXDOMAIN, ede=16)
    for answer in (
        Answer(3, False, (), 0, ()),
        Answer(3, False, (), 0, (15,)),
        Answer(0, False, ("198.51.100.7",), 1, ()),
        Answer(2, False, (), 0, (16,)),
    ):
        assert describe(answer) != expectation(blocked, has_page=True)


def test_without_a_page_a_stop_page_list_gives_nxdomain():
    assert expectation(Verdict(Action.STOP_PAGE, ede=15), has_page=False) == "NXDOMAIN, EDE 15"
