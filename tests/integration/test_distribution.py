"""What would be published: the source archive and the wheel that is built from it, and what they say of themselves."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import rpcsvc

ROOT = Path(__file__).parents[2]
NOT_SOURCE = (".git", ".venv*", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "build", "dist")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, made as a release makes them; with what is installed, for lack of a network."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    run(folder, "-m", "build", "--no-isolation", "--outdir", "dist", "source")
    return folder / "dist"


def run(folder: Path, *words: str, **environ: str) -> str:
    """What Python prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def test_the_files_are_named_after_the_version_and_pass_the_indexs_check(dist: Path) -> None:
    version = rpcsvc.__version__
    names = {f"rpcsvc-{version}.tar.gz", f"rpcsvc-{version}-py3-none-any.whl"}
    assert {file.name for file in dist.iterdir()} == names
    assert run(dist, "-m", "twine", "check", "--strict", *sorted(names)).count("PASSED") == 2


def test_the_wheel_holds_the_package_alone_with_its_types_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"rpcsvc-{rpcsvc.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"rpcsvc", info}
    assert {"rpcsvc/py.typed", f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"} <= names
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "rpcsvc").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    told = metadata(wheel)
    assert told["License-Expression"] == "Apache-2.0"
    assert told["License-File"] == "LICENSE"
    assert told["Requires-Python"] == ">=3.11"
    assert set(told.get_all("Provides-Extra", [])) >= {"bench", "cli", "fast"}


def test_the_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = "import rpcsvc; print(rpcsvc.__file__, rpcsvc.RpcClient.__name__, rpcsvc.__version__)"
    assert run(tmp_path, "-c", program, PYTHONPATH=str(tmp_path / "site")).split() == [
        str(tmp_path / "site" / "rpcsvc" / "__init__.py"),
        "RpcClient",
        rpcsvc.__version__,
    ]


def test_the_source_archive_has_what_the_tests_and_the_pages_need(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml"} <= names
    assert {"rpcsvc/py.typed", "scripts/test", "scripts/rabbitmq", "clients/demo.py", "docs/design.md"} <= names
    assert {"tests/conftest.py", "tests/support/ctl.py", "tests/chaos/harness/__main__.py"} <= names
    assert not [name for name in names if re.search(r"__pycache__|\.venv|\.pyc$", name)]
