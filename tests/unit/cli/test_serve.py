"""The options of `rpcsvc serve`."""

from __future__ import annotations

import pytest

from rpcsvc import cli
from rpcsvc.cli.serve import _size, _size_or_auto


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 2**20), ("64K", 2**16), ("512M", 2**29), ("2G", 2**31), ("2g", 2**31)]
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert _size(text) == size


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1M", "512MB", "\N{SUPERSCRIPT TWO}M", "lots"])
def test_what_is_no_size_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", f"--memory-limit={text}"])
    assert caught.value.code == 2
    assert "is no size" in capsys.readouterr().err


def test_the_limits_of_messages_are_auto_or_a_size() -> None:
    assert _size_or_auto("auto") == "auto"
    assert _size_or_auto("16M") == 2**24


@pytest.mark.parametrize("option", ["--max-request=all", "--max-result=1.5M"])
def test_any_other_limit_is_a_usage_error(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", option])
    assert caught.value.code == 2
    assert "is no size" in capsys.readouterr().err
