"""The options of `rpcsvc serve`."""

from __future__ import annotations

import pytest

from rpcsvc import cli


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 2**20), ("1024K", 2**20), ("512M", 2**29), ("2G", 2**31), ("2g", 2**31)]
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert cli._parser().parse_args(["serve", f"--memory-limit={text}"]).memory_limit == size


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1M", "512MB", "\N{SUPERSCRIPT TWO}M", "lots"])
def test_what_is_no_size_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", f"--memory-limit={text}"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert f"--memory-limit must be a whole number of bytes, of at least 1048576, not {text!r}" in error
    assert error.endswith("; for instance --memory-limit 512M\n")


def test_the_limits_of_messages_are_auto_or_a_size() -> None:
    options = cli._parser().parse_args(["serve", "--max-request=auto", "--max-result=16M"])
    assert (options.max_request, options.max_result) == ("auto", 2**24)


@pytest.mark.parametrize("option", ["--max-request=all", "--max-result=1.5M"])
def test_any_other_limit_is_a_usage_error(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", option])
    assert caught.value.code == 2
    name, _, value = option.partition("=")
    sentence = f'{name} must be "auto" or a whole number of bytes from 1024 to 67108864, not {value!r}'
    assert sentence in capsys.readouterr().err
