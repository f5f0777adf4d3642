"""The tables of options in README.md and docs/, made from `rpcsvc.settings`. `python option_tables.py` writes them.

A table stands between `<!-- options: NAME -->` and `<!-- end of options -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from rpcsvc.cli.call import FLAGS
from rpcsvc.settings.client import ClientOptions
from rpcsvc.settings.kinds import Seconds, Truth
from rpcsvc.settings.options import SSL_CONTEXT, URL, Option, options_of
from rpcsvc.settings.server import ServerOptions

ROOT = Path(__file__).parents[3]
MARK = re.compile(r"(<!-- options: (\w+) -->\n).*?(?=<!-- end of options -->)", re.DOTALL)
Cell = Callable[[Option], str]


def _name(option: Option) -> str:
    return f"`{option.name}`"


def _flag(option: Option) -> str:
    if isinstance(option.kind, Truth) and option.kind.off:
        return f"`{option.kind.off}`"
    if option.name == "registry":
        return f"`{option.kind.unit}`"
    return f"`{option.flag} {option.kind.unit}`".replace("|", "\\|") if option.flag else ""


def _default(option: Option) -> str:
    if isinstance(option.kind, Seconds) and option.default is not None:
        return f"{option.shown_default} s"
    return f"`{option.default}`" if isinstance(option.default, str | bool) else option.shown_default


def _meaning(option: Option) -> str:
    text = re.sub(r"\b([A-Z][a-z]+(?:[A-Z][a-z]+)+|OMP_NUM_THREADS|math\.inf|None)\b", r"`\1`", option.help)
    return text.replace('"auto"', "`auto`").replace('"inf"', "`inf`")


def _table(options: Iterable[Option], heads: dict[str, Cell]) -> str:
    rows = [list(heads), *([cell(option) for cell in heads.values()] for option in options)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:], ""])


TABLES = {
    "client": _table(
        [URL, *options_of(ClientOptions), SSL_CONTEXT],
        {"`RpcClient(…)`": _name, "Default": _default, "": _meaning},
    ),
    "call": _table(
        [*(option for option in options_of(ClientOptions) if option.name in FLAGS), URL],
        {"Option": _flag, "Default": _default, "": _meaning},
    ),
    "server": _table(
        [*options_of(ServerOptions), URL, SSL_CONTEXT],
        {"`RpcServer(…)`": _name, "`rpcsvc serve`": _flag, "Default": _default, "": _meaning},
    ),
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(page: str) -> str:
    """A page with its tables as they are to be."""
    return MARK.sub(lambda found: found[1] + TABLES[found[2]], page)


if __name__ == "__main__":
    for page in PAGES:
        text = page.read_text("utf-8")
        if with_tables(text) != text:
            page.write_text(with_tables(text), "utf-8")
            print(f"written: {page.relative_to(ROOT)}")
