"""Annotations, by inspection alone: whether any value that travels can pass one, and which kinds of them there are.

An annotation that nothing can pass is found when the function is registered, not when it is called: an `Enum`, a
dataclass or a model does not travel, so a parameter of such a class could never be given.
"""

from __future__ import annotations

import abc
import inspect
import sys
import types
import typing
from typing import Any

from ..wire import values

UNIONS = (typing.Union, types.UnionType)
_CONSTRAIN = {"annotated_types", "pydantic.fields", "msgspec"}
"""Modules of metadata in an `Annotated` that says which values pass."""


def misfit(annotation: Any) -> str | None:
    """What it is in an annotation that no value that travels can pass, so that none passes the whole; None if nothing.

    An annotation that is not understood is taken for one that can be passed.
    """
    if annotation in (inspect.Parameter.empty, Any, object, None):
        return None
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and origin is None:
        return None if _travels(annotation) else _name(annotation)
    if origin in UNIONS:
        misfits = [misfit(member) for member in members]
        return None if None in misfits else " | ".join(filter(None, misfits))
    if origin is typing.Annotated:
        return misfit(members[0])
    if origin is typing.Literal:
        return None if any(type(member) in values.TYPES for member in members) else _name(annotation)
    if isinstance(annotation, typing.NewType):
        return misfit(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return misfit(bound_of(annotation))
    if isinstance(origin, type):
        if not _travels(origin):
            return _name(annotation)
        # Of a list[Colour] an empty list would pass; nobody means that.
        return None if _is_array(origin) else next(filter(None, map(misfit, _items(members))), None)
    return None


def _items(members: tuple[Any, ...]) -> list[Any]:
    return [member for member in members if member is not Ellipsis and not isinstance(member, list)]


def bound_of(variable: typing.TypeVar) -> Any:
    """What a type variable stands for: the union of its constraints, its bound, or anything."""
    if variable.__constraints__:
        return typing.Union[variable.__constraints__]  # noqa: UP007 from a tuple
    return Any if variable.__bound__ is None else variable.__bound__


def _travels(cls: type) -> bool:
    """Whether a value that travels can be an instance of a class."""
    if is_special(cls) or decides_for_itself(cls):
        return True
    if any(issubclass(travelling, cls) for travelling in values.TYPES):
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(numpy.ndarray, cls)


def decides_for_itself(cls: type) -> bool:
    """Whether what is an instance of a class is decided by a metaclass that nobody here knows."""
    # pydantic has one too, and decides nothing with it.
    return type(cls).__instancecheck__ not in _KNOWN_DECISIONS and not hasattr(cls, "model_dump")


_KNOWN_DECISIONS = (type.__instancecheck__, abc.ABCMeta.__instancecheck__)


def is_special(cls: type) -> bool:
    """Whether a class stands for more than its instances: a protocol, a typed dictionary."""
    return bool(getattr(cls, "_is_protocol", False)) or hasattr(cls, "__required_keys__")


def constrains(metadata: Any) -> bool:
    """Whether metadata in an `Annotated` says which values pass: annotated-types, pydantic's Field, msgspec's Meta."""
    return any(cls.__module__ in _CONSTRAIN for cls in type(metadata).__mro__)


def accepted(cls: type) -> tuple[type, ...]:
    """Classes whose instances pass for one of a class: PEP 484, "The numeric tower"."""
    return {float: (float, int), complex: (complex, float, int)}.get(cls, (cls,))


def name_of(cls: type) -> str:
    """A class's name as one writes it in an annotation."""
    return "None" if cls is type(None) else cls.__name__


def _is_array(cls: type) -> bool:
    """Whether a class is that of arrays, whose arguments are shapes and dtypes."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and cls is numpy.ndarray


def _name(annotation: Any) -> str:
    return inspect.formatannotation(annotation)
