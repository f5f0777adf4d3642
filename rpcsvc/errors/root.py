"""The root of the tree of errors."""

from __future__ import annotations

from typing import Any


class RpcError(Exception):
    """The root of every error of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[RpcError], args: tuple[Any, ...], state: dict[str, Any]) -> RpcError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
