"""What a shell completes the command by."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rpcsvc import cli
from rpcsvc.settings.options import options_of
from rpcsvc.settings.server import ServerOptions


@pytest.fixture
def completed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """From the words of a command line, the last one begun, to what bash offers for that."""
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "rpcsvc"
    script.write_text(capsys.readouterr().out)

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        program = f"""source {shlex.quote(str(script))}
            COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
            _shtab_rpcsvc; printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rpcsvc se", ["serve"]),
        ("rpcsvc broker sta", ["start", "status"]),
        ("rpcsvc completion ", ["bash", "zsh"]),
        ("rpcsvc serve --cancel", ["--cancel-grace"]),
        ("rpcsvc serve --queue-type ", ["classic", "quorum"]),
        ("rpcsvc serve --preload ", ["yes", "no"]),
        ("rpcsvc call --wait", ["--wait-for-server"]),
    ],
)
def test_bash_offers_commands_flags_and_choices(completed, line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_bash_offers_files_where_a_path_is_wanted(completed, tmp_path: Path) -> None:
    (tmp_path / "figures.json").touch()
    assert "figures.json" in completed("rpcsvc bench --json fig")


def test_zsh_knows_every_flag_of_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out

    assert script.startswith("#compdef rpcsvc\n")
    flags = {each.flag for each in options_of(ServerOptions)} - {"--registry", "--send-tracebacks", "--casts"}
    assert [flag for flag in [*flags, "--hide-tracebacks", "--no-casts"] if f"{flag}[" not in script] == []
    if shutil.which("zsh"):
        (tmp_path / "_rpcsvc").write_text(script)
        subprocess.run(["zsh", "-n", tmp_path / "_rpcsvc"], check=True)


@pytest.mark.parametrize("words", [["completion"], ["completion", "fish"]])
def test_another_shell_is_refused_with_those_there_are(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "bash" in capsys.readouterr().err


def test_without_the_extra_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)

    assert cli.main(["completion", "bash"]) == 2
    assert "this needs shtab, which is not here: pip install 'rpcsvc[cli]'" in capsys.readouterr().err
