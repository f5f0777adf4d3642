"""The root of the tree of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any


class RpcError(Exception):
    """The root of every error of this package.

    Attributes:
        failed: where `cast_many` raised it, the errors of the casts that failed, by their places; else empty.
        message_ids: likewise, the ids of all casts that were made, in order.
    """

    failed: Mapping[int, RpcError] = MappingProxyType({})
    message_ids: Sequence[str] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[RpcError], args: tuple[Any, ...], state: dict[str, Any]) -> RpcError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
