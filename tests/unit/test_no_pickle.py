"""Nothing in the package runs what it reads: no pickle and its like, no evaluation of text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rpcsvc

PACKAGE = Path(rpcsvc.__file__).parent
LOADERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "yaml", "joblib"}
CALLS = {"eval", "exec", "compile", "__import__"}
# Modules that are named by who starts the process, or by us; never by a message.
IMPORTS_BY_NAME = {"workers/loading.py"} | {
    f"{room}__init__.py" for room in ("", "cli/", "client/", "server/", "functions/")
}


def what_runs_text(source: str) -> Iterator[str]:
    """Each import and call in a module that could make code of data."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names if one.name.partition(".")[0] in LOADERS)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in LOADERS:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name
            case ast.Call(func=ast.Attribute(attr="import_module")):
                yield "import_module"
            case ast.keyword(arg="allow_pickle"):
                yield "allow_pickle"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_that_runs_what_it_reads_is_used(path: Path) -> None:
    found = set(what_runs_text(path.read_text("utf-8")))
    if str(path.relative_to(PACKAGE)) in IMPORTS_BY_NAME:
        found.discard("import_module")
    assert not found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("import os, marshal as m", "marshal"),
        ("def f():\n    from dill.source import x", "dill.source"),
        ("eval(text)", "eval"),
        ("importlib.import_module(name)", "import_module"),
        ("numpy.load(file, allow_pickle=True)", "allow_pickle"),
    ],
)
def test_a_planted_one_is_found(source: str, found: str) -> None:
    assert list(what_runs_text(source)) == [found]


def test_what_only_looks_like_one_is_left_in_peace() -> None:
    assert not list(what_runs_text("re.compile('x')\nself.eval = 1\nfrom .pickles import jar\n'import pickle'"))
