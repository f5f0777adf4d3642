"""The demonstration where what it needs is not installed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "clients" / "demo.py"


@pytest.mark.parametrize("library", ["rich", "psutil", "rpcsvc"])
def test_without_a_library_it_says_what_to_install(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == library:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(DEMO), run_name="__main__")
    assert caught.value.code == (
        f"demo: this needs {library}: type scripts/demo, which installs it, or pip install '.[cli]'"
    )
