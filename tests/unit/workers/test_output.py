"""The log of functions, without set-up and with it."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from rpcsvc.workers import output
from rpcsvc.workers.output import LogSettings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """To be called first: it makes the root logger one without handlers, as a new process has it."""
    level = logging.root.level
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    yield lambda: monkeypatch.setattr(logging.root, "handlers", [])
    logging.root.setLevel(level)


def test_what_is_logged_without_set_up_is_shown(bare: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    bare()
    output.set_up_logging(LogSettings(logging.INFO, "%(levelname)s pool: %(message)s"), "worker 3")
    logging.getLogger("heavy").info("%s begins", "it")
    logging.getLogger("heavy").debug("not this")
    assert capsys.readouterr().err == "INFO pool: worker 3: heavy: it begins\n"


def test_a_forked_process_has_a_name_of_its_own_and_keeps_a_level_that_was_set(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bare()
    settings = LogSettings(logging.INFO, "%(message)s")
    output.set_up_logging(settings, "import")
    logging.root.setLevel(logging.ERROR)
    output.rename_log(settings, "worker 1")
    logging.getLogger("heavy").info("not this")
    logging.getLogger("heavy").error("100 %")
    assert capsys.readouterr().err == "worker 1: heavy: 100 %\n"


def test_a_registrys_own_set_up_finds_a_root_logger_as_in_any_program(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bare()
    settings = LogSettings(logging.INFO, "%(message)s")
    output.set_up_logging(settings, "import")
    logging.basicConfig(format="own %(message)s", stream=sys.stderr)
    output.rename_log(settings, "worker 1")
    logging.getLogger("heavy").info("line")
    assert capsys.readouterr().err == "own line\n"


def test_a_handler_that_another_library_has_put_there_is_left_alone() -> None:
    logging.lastResort = None
    output.rename_log(LogSettings(), "worker 1")
    assert logging.lastResort is None


def test_a_functions_first_line_does_not_set_up_logging_in_a_form_of_its_own(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bare()
    output.set_up_logging(LogSettings(logging.INFO, "%(message)s"), "worker 1")
    output.settle_logging()
    logging.info("line")
    assert capsys.readouterr().err == "worker 1: root: line\n"


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_broken_standard_error_is_nobodys_concern(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None
) -> None:
    output.set_up_logging(LogSettings(logging.INFO, "%(message)s"), "worker 1")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(sys, "stderr", stream)
    if stream is not None:
        stream.close()
    logging.getLogger("heavy").info("line")
    output.flush()
    output.buffer_lines()


class TestSettings:
    def test_without_any_set_up_here_warnings_are_shown(self, bare: Callable[[], None]) -> None:
        bare()
        logging.root.setLevel(logging.WARNING)
        assert LogSettings.of_this_process("nobody") == LogSettings(logging.WARNING, output.DEFAULT_FORMAT)

    def test_the_form_is_that_of_this_process(self, bare: Callable[[], None]) -> None:
        bare()
        logging.basicConfig(format="%(levelname)s rpcsvc: %(message)s", datefmt="%H", level=logging.ERROR)
        found = LogSettings.of_this_process("nobody")
        assert found == LogSettings(logging.ERROR, "%(levelname)s rpcsvc: %(message)s", "%H")

    def test_the_form_of_another_kind_of_formatter_is_not_handed_on(self, bare: Callable[[], None]) -> None:
        bare()

        class Json(logging.Formatter):
            pass

        handler = logging.StreamHandler()
        handler.setFormatter(Json("%(message)s"))
        logging.root.addHandler(handler)
        assert LogSettings.of_this_process("nobody").format == output.DEFAULT_FORMAT


def test_lines_go_out_as_they_end() -> None:
    code = (
        "import sys, time; from rpcsvc.workers import output; output.buffer_lines(); print('line');"
        " sys.stdout.write('rest'); import os; os._exit(0)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)
    assert done.stdout == "line\n"
