"""What an `rpc.map` asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InvalidParams
from .. import jsonrpc, values
from ..names import MAP

MAX_CALLS = 10_000
"""The most calls in one message."""


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What is asked for: one method, and the positional arguments of each call, by column or by row.

    Attributes:
        ids: the id of each call, where they are calls of their own that only travel together; empty otherwise.
    """

    method: str
    count: int
    columns: Sequence[Sequence[Any]] | None
    rows: Sequence[Sequence[Any]] | None
    ids: Sequence[str] = ()

    def name(self, index: int) -> str:
        """The name of one of the calls, for the log."""
        return f"call {self.ids[index] if self.ids else index} of {self.method}"

    def each(self) -> Iterator[Sequence[Any]]:
        """The arguments of each call."""
        if self.rows is not None:
            return iter(self.rows)
        assert self.columns is not None
        return zip(*self.columns, strict=True)


def read(args: Sequence[Any], kwargs: Mapping[str, Any]) -> MapRequest:
    """The params of an `rpc.map` request.

    Raises:
        InvalidParams: they are not as they should be.
    """
    method, columns, rows = kwargs.get("method"), kwargs.get("columns"), kwargs.get("rows")
    given = columns if rows is None else rows
    if args or not isinstance(method, str) or (columns is None) == (rows is None):
        raise InvalidParams(f'{MAP} takes "method" and either "columns" or "rows"')
    if not isinstance(given, list) or not all(isinstance(each, list) for each in given):
        raise InvalidParams(f"{MAP}: columns and rows are arrays of arrays")
    count = len(given) if columns is None else len(columns[0]) if columns else 0
    if not 0 < count <= MAX_CALLS:
        raise InvalidParams(f"{MAP} takes 1 to {MAX_CALLS} calls in one message, not {count}")
    if columns is not None and any(len(column) != count for column in columns):
        raise InvalidParams(f"{MAP}: the columns must be of one length")
    ids = kwargs.get("ids", ())
    if not isinstance(ids, list | tuple) or (ids and len(ids) != count) or not all(type(each) is str for each in ids):
        raise InvalidParams(f'{MAP}: "ids" is an array of strings, one for each call')
    return MapRequest(method, count, columns, rows, ids)


def read_message(message: jsonrpc.Message) -> MapRequest | None:
    """What an `rpc.map` asks for; None if the message is none, or not as it should be."""
    if not isinstance(message, jsonrpc.Request) or message.method != MAP:
        return None
    try:
        return read(message.args, message.kwargs)
    except InvalidParams:
        return None


def params(method: str, rows: Sequence[bytes], ids: Sequence[str]) -> bytes:
    """The params of an `rpc.map` of calls with ids of their own, from their arguments as they are encoded already."""
    head = b'{"method":' + values.encode(method) + b',"ids":' + values.encode(list(ids))
    return head + b',"rows":[' + b",".join(rows) + b"]}"
