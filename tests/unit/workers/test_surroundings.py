"""What a fork server starts in: the interpreter's options, the folder's name, the bounds of threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rpcsvc.host.surroundings import Folder, Surroundings, interpreter_options, thread_variables


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("python", ""),
        ("python -m rpcsvc serve -u x", ""),
        ("python -u -X dev -W error -m rpcsvc serve", "-u -X dev -W error"),
        ("python -uBXdev -Werror::DeprecationWarning script.py -O", "-u -B -X dev -W error::DeprecationWarning"),
        ("python -IOOm rpcsvc", "-I -O -O"),
        ("python -E -s -S -P -b -v -d -c code -u", "-E -s -S -P -b -v -d"),
        ("python -i -x -u /usr/bin/rpcsvc", "-u"),
        ("python -ic code", ""),
        ("python --check-hash-based-pycs always -u x.py", "--check-hash-based-pycs always -u"),
        ("python -u -", "-u"),
        ("python -u --version", "-u"),
        ("python -X", "-X "),
    ],
)
def test_the_interpreters_options_are_told_from_the_programs(line: str, options: str) -> None:
    assert interpreter_options(line.split(" ")) == (options.split(" ") if options else [])


def test_an_embedded_interpreter_has_none() -> None:
    assert interpreter_options([]) == []
    assert interpreter_options([""]) == []


class TestFolder:
    def test_a_folder_has_the_name_that_it_was_entered_by(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "current").symlink_to("one")
        monkeypatch.chdir(tmp_path / "current")

        folder = Folder.here({"PWD": str(tmp_path / "current")})

        assert folder == Folder(str(tmp_path / "current"), str(tmp_path / "one"))
        assert folder.to_enter == str(tmp_path / "current")
        assert folder.path("") == folder.path(".") == str(tmp_path / "current")
        assert folder.path("lib/x") == str(tmp_path / "current/lib/x")
        assert folder.path("../lib") == str(tmp_path / "current/../lib"), "for the system to follow"
        assert folder.path(str(tmp_path / "one/lib")) == str(tmp_path / "current/lib")
        assert folder.path(str(tmp_path / "oneself")) == str(tmp_path / "oneself")
        assert folder.path("/usr/lib") == "/usr/lib"

    @pytest.mark.parametrize("pwd", ["", "one", "/nowhere", "/"])
    def test_a_pwd_that_is_of_another_folder_is_not_believed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pwd: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert Folder.here({"PWD": pwd}).name == os.getcwd()

    def test_the_root_folder_is_one_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir("/")
        assert Folder.here({}).path("usr") == "/usr"
        assert Folder.here({}).path("/usr") == "/usr"

    def test_a_folder_that_is_gone_has_no_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        folder = Folder.here({"PWD": str(tmp_path / "gone")})
        assert folder.to_enter is None
        assert folder.path("lib") == "lib"

    def test_one_that_goes_later_is_not_entered(self, tmp_path: Path) -> None:
        assert Folder(str(tmp_path / "later"), str(tmp_path)).to_enter is None


class TestThreads:
    def test_each_library_is_told(self) -> None:
        found = thread_variables(3, {})
        assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "3"
        assert found["VECLIB_MAXIMUM_THREADS"] == found["BLIS_NUM_THREADS"] == found["NUMEXPR_NUM_THREADS"] == "3"

    def test_what_is_set_wins(self) -> None:
        assert "MKL_NUM_THREADS" not in thread_variables(3, {"MKL_NUM_THREADS": "8"})
        assert thread_variables(3, {"MKL_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "3"

    def test_and_openmps_wins_for_all_that_follow_it(self) -> None:
        assert thread_variables(3, {"OMP_NUM_THREADS": "8"}) == {"VECLIB_MAXIMUM_THREADS": "3"}

    def test_an_empty_variable_is_not_set(self) -> None:
        assert thread_variables(3, {"OMP_NUM_THREADS": ""})["OMP_NUM_THREADS"] == "3"

    def test_the_environment_is_that_of_now(self) -> None:
        around = Surroundings(Folder("/", "/"), blas_threads=2)
        assert around.environment({"A": "1", "MKL_NUM_THREADS": "5"}) == {
            **thread_variables(2, {"MKL_NUM_THREADS": "5"}),
            "A": "1",
            "MKL_NUM_THREADS": "5",
            "PWD": "/",
        }
        assert Surroundings(Folder("", "")).environment({"A": "1"}) == {"A": "1"}
