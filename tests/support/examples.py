"""How many examples a test that makes them up tries: few and always the same in a check, many others before a release.

    @examples(100)
    @given(st.text())
    def test_any_text_comes_back(text: str) -> None: ...

RPCSVC_TEST_EXAMPLES multiplies the numbers (`scripts/check --thorough` sets it to 10). Then the examples are others in
each run, and a failure prints how to have it again.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

FACTOR = float(os.environ.get("RPCSVC_TEST_EXAMPLES", "1"))


def examples(count: int, **options: Any) -> settings:
    """Settings of a test with so many examples in a check; `options` are further ones of Hypothesis' `settings`."""
    return settings(
        max_examples=max(1, round(count * FACTOR)),
        derandomize=FACTOR <= 1,
        deadline=None,
        database=None,
        print_blob=FACTOR > 1,
        **options,
    )
