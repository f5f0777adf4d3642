"""Annotations: the check of a value against one, and whether any value that travels can pass it.

A value passes as PEP 484 reads the annotation (an int passes for a float; every item of a `list[int]` is looked at).
An annotation that nothing can pass is found when the function is registered, not when it is called: an `Enum`, a
dataclass or a model does not travel, so a parameter of such a class could never be given.
"""

from __future__ import annotations

import abc
import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..wire import values

_UNIONS = (typing.Union, types.UnionType)


@dataclass(frozen=True, slots=True)
class Check:
    """A check of values against one annotation.

    Attributes:
        wrong: says what is wrong with a value, or None.
        exact: types whose values need no look, where those suffice to tell; None where they do not.
    """

    wrong: Callable[[Any], str | None]
    exact: frozenset[type] | None = None


# ---- what nothing can pass --------------------------------------------------------------------------------------


def misfit(annotation: Any) -> str | None:
    """What it is in an annotation that no value that travels can pass, so that none passes the whole; None if nothing.

    An annotation that is not understood is taken for one that can be passed.
    """
    if annotation in (inspect.Parameter.empty, Any, object, None):
        return None
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and origin is None:
        return None if _travels(annotation) else _name(annotation)
    if origin in _UNIONS:
        misfits = [misfit(member) for member in members]
        return None if None in misfits else " | ".join(filter(None, misfits))
    if origin is typing.Annotated:
        return misfit(members[0])
    if origin is typing.Literal:
        return None if any(type(member) in values.TYPES for member in members) else _name(annotation)
    if isinstance(annotation, typing.NewType):
        return misfit(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return _misfit_of_variable(annotation)
    if isinstance(origin, type):
        if not _travels(origin):
            return _name(annotation)
        # Of a list[Colour] an empty list would pass; nobody means that.
        return None if _is_array(origin) else next(filter(None, map(misfit, _items(members))), None)
    return None


def _items(members: tuple[Any, ...]) -> list[Any]:
    return [member for member in members if member is not Ellipsis and not isinstance(member, list)]


def _misfit_of_variable(variable: typing.TypeVar) -> str | None:
    bounds = variable.__constraints__ or ((variable.__bound__,) if variable.__bound__ is not None else ())
    return misfit(typing.Union[bounds]) if bounds else None  # noqa: UP007 from a tuple


def _travels(cls: type) -> bool:
    """Whether a value that travels can be an instance of a class."""
    if _is_special(cls) or _decides_for_itself(cls):
        return True
    if any(issubclass(travelling, cls) for travelling in values.TYPES):
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(numpy.ndarray, cls)


def _decides_for_itself(cls: type) -> bool:
    """Whether what is an instance of a class is decided by a metaclass that nobody here knows."""
    # pydantic has one too, and decides nothing with it.
    return type(cls).__instancecheck__ not in _KNOWN_DECISIONS and not hasattr(cls, "model_dump")


_KNOWN_DECISIONS = (type.__instancecheck__, abc.ABCMeta.__instancecheck__)


def _is_array(cls: type) -> bool:
    """Whether a class is that of arrays, whose arguments are shapes and dtypes."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and cls is numpy.ndarray


def _name(annotation: Any) -> str:
    return inspect.formatannotation(annotation)


# ---- checks of values -------------------------------------------------------------------------------------------


def compile_check(annotation: Any) -> Check | None:
    """A check for an annotation, or None where it lets everything pass."""
    if annotation in (inspect.Parameter.empty, Any, object):
        return None
    if annotation is None:
        annotation = type(None)
    members = typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else (annotation,)
    if Any in members:
        return None
    if all(isinstance(cls, type) and typing.get_origin(cls) is None and not _is_special(cls) for cls in members):
        return _class_check(members)
    return _hint_check(annotation)


def _is_special(cls: type) -> bool:
    """Classes that stand for more than their instances: protocols and typed dictionaries."""
    return bool(getattr(cls, "_is_protocol", False)) or typing.is_typeddict(cls)


def _class_check(classes: tuple[type, ...]) -> Check:
    # PEP 484, "The numeric tower": int passes for float, and both for complex.
    tower = {float: (float, int), complex: (complex, float, int)}
    accepted = tuple(each for cls in classes for each in tower.get(cls, (cls,)))
    names = " or ".join("None" if cls is type(None) else cls.__name__ for cls in classes)

    def wrong(value: Any) -> str | None:
        if isinstance(value, accepted):
            return None
        return f"must be {names}, not {type(value).__name__}"

    return Check(wrong, exact=frozenset(accepted))


def _hint_check(hint: Any) -> Check:
    def wrong(value: Any) -> str | None:
        # Imported by the first call that needs it: most registries name plain classes only.
        import typeguard  # noqa: PLC0415

        try:
            typeguard.check_type(
                value,
                hint,
                forward_ref_policy=typeguard.ForwardRefPolicy.IGNORE,
                collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS,
            )
        except typeguard.TypeCheckError as error:
            return f"does not fit its annotation: {error}"
        except ValueError:
            # Its sentence was to show a key of the value, but a huge integer has no decimal text.
            return "does not fit its annotation"
        return None

    return Check(wrong)
