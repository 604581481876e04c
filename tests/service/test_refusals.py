"""What exceeded a limit."""

from __future__ import annotations

import logging

from chandlery.service.refusals import Refusals


def test_all_are_counted_and_few_are_logged(caplog):
    """A flood is a line a minute, which says how many there were since the last."""
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for moment in (0, 1, 59, 61, 62):
            now[0] = moment
            for _ in range(100):
                refusals.count("head")
        refusals.count("body")

    assert {"head": 500, "body": 1} == refusals.counts
    assert ["head: 1 since", "head: 300 since", "body: 1 since"] == [
        each.getMessage().removeprefix("refused by the limit ").removesuffix(" the last such line")
        for each in caplog.records
    ]
