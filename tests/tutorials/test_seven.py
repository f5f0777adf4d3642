"""Tutorial seven, publisher confirms: three ways to await them, and what the broker gives back or refuses."""

from __future__ import annotations

import re

import pytest
from support.terminal import Start


@pytest.mark.parametrize(
    "count", [500, pytest.param(50_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])], ids=["a few", "all"]
)
def test_the_three_ways_are_timed_and_a_returned_message_is_told_from_a_refused_one(ours: Start, count: int) -> None:
    publisher = ours("seven/publisher_confirms.py", str(count))
    assert publisher.wait(within=300) == 0, publisher.output
    *published, counted, returned, refused = publisher.lines
    took = {}
    for line in published:
        match = re.fullmatch(rf"\[x\] Published {count:,} messages (.*) in ([\d,]+) ms", line)
        assert match is not None, line
        took[match[1]] = int(match[2].replace(",", ""))
    assert list(took) == ["individually", "in batch", "all at once"]
    assert took["individually"] > took["all at once"]
    assert counted == f"[.] Counted {3 * count:,} in the pool"
    assert re.match(r"\[!\] Returned: .*'nowhere\.casts'", returned)
    assert re.match(r"\[!\] Refused after [1-9]\d*: .*'narrow\.casts'", refused)
