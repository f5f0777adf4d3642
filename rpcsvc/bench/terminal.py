"""What the command shows: a live line while it runs, tables when it is done.

The live line goes to standard error: a bar on a terminal, elsewhere a plain line a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table as RichTable

from .load import Load
from .results import BenchResult
from .run import Live
from .tables import Table, tables

_PLAIN_EVERY = 1.0
_WIDTH = 110
"""Columns where there is no terminal that has a width."""


@contextmanager
def live_line(load: Load, label: str) -> Iterator[Live]:
    """A function to tell the progress to, for as long as the block runs."""
    console = Console(stderr=True, highlight=False)
    whole = load.warm_up + load.duration
    rate = _Rate()
    if not console.is_terminal:
        last = 0.0

        def plain(elapsed: float, ended: int, badly: int) -> None:
            nonlocal last
            per_second = rate.told(elapsed, ended)
            if elapsed - last >= _PLAIN_EVERY:
                last = elapsed
                _plain(console, f"{label}: {_words(load, elapsed, ended, badly, per_second)}")

        yield plain
        return
    columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(escape(label), total=whole, words="")

        def drawn(elapsed: float, ended: int, badly: int) -> None:
            words = _words(load, elapsed, ended, badly, rate.told(elapsed, ended))
            progress.update(bar, completed=min(whole, elapsed), words=words)

        yield drawn


def say(text: str) -> None:
    """One line on standard error."""
    _plain(Console(stderr=True, highlight=False), text)


def show(result: BenchResult) -> None:
    """The tables, on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    load = result.run.load
    console.print(f"[bold]{escape(load.title)}[/bold]: {escape(load.shape)}")
    for each in tables(result):
        console.print(_drawn(each))
    for warning in result.warnings:
        console.print(f"[yellow]note:[/yellow] {escape(warning)}")


class _Rate:
    """Calls per second over the last second or so."""

    def __init__(self) -> None:
        self._told: list[tuple[float, int]] = [(0.0, 0)]

    def told(self, elapsed: float, ended: int) -> float:
        self._told.append((elapsed, ended))
        while len(self._told) > 2 and self._told[1][0] <= elapsed - 1.0:
            self._told.pop(0)
        since, before = self._told[0]
        return (ended - before) / (elapsed - since) if elapsed > since else 0.0


def _words(load: Load, elapsed: float, ended: int, badly: int, per_second: float) -> str:
    whole = load.warm_up + load.duration
    phase = "warm-up" if elapsed < load.warm_up else "waiting for the last" if elapsed > whole else "measuring"
    errors = f", {badly:,} errors" if badly else ""
    return f"{phase} {min(elapsed, whole):.1f}/{whole:g} s, {ended:,} calls, {per_second:,.0f}/s{errors}"


def _plain(console: Console, text: str) -> None:
    console.print(f"rpcsvc: {text}", markup=False, soft_wrap=True)


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(title=table.caption, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, heading in enumerate(table.headings):
        drawn.add_column(heading, justify="right" if number or len(table.rows) == 1 else "left")
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    return drawn
