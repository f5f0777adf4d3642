"""Which branches of the pure floors the tests in tests/unit take: a plugin of pytest's, for `scripts/check`.

    PYTHONPATH=tests pytest -p support.branches tests/unit && coverage combine && coverage report

To follow what Python does costs as much again as to do it, in whatever library it stands. So followed is only what
counts: the import of the modules, once, and the tests that are to take every branch. Those are

- in the folder of a room that has pure modules (pyproject.toml lists these, under tool.coverage.report);
- written down, example by example. What a test makes up is other examples with another Hypothesis: a branch that only
  they reach is covered today, and not tomorrow.
"""

from __future__ import annotations

import importlib
import os
import tomllib
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
_SETTINGS = ROOT / "pyproject.toml"
_PURE = [Path(each) for each in tomllib.loads(_SETTINGS.read_text())["tool"]["coverage"]["report"]["include"]]
# The tests of rpcsvc/wire/values/*.py are in tests/unit/wire, of rpcsvc/deadline.py in tests/unit/test_deadline.py.
_ROOMS = {UNIT / (path.parts[1] if path.parts[2:] else f"test_{path.name}") for path in _PURE}

_branches = coverage.Coverage(config_file=str(_SETTINGS))


def counts(test: pytest.Function) -> bool:
    """Whether a test is one of those that are to take every branch."""
    makes_up = getattr(test.obj, "is_hypothesis_test", False)
    return not makes_up and not _ROOMS.isdisjoint([test.path, *test.path.parents])


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Import the modules before anybody else does: what stands outside of functions runs once."""
    # One process starts those that run the tests, and runs none: it imports for all of them.
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    del os.environ["PYTHONPATH"]  # for this plugin, and not for the programs that tests start
    _branches.erase()
    with _branches.collect():
        for path in [found for each in _PURE for found in ROOT.glob(str(each))]:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Follow the test itself: neither pytest, nor what makes its fixtures."""
    if not counts(pyfuncitem):
        return (yield)
    with _branches.collect():
        return (yield)


def pytest_sessionfinish() -> None:
    """Write down what this process has seen, beside what the others have."""
    _branches.save()
