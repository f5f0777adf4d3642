"""Annotations for pydantic: a check of values that converts nothing, and what there is to tell of it.

pydantic reads an annotation as what could be made of a value. Here each class in one stands for its instances, as PEP
484 has it (a bool is an int, an int passes for a float, a str is a sequence of str). pydantic does the checking, the
constraints (of annotated-types, its own `Field`, msgspec's `Meta`), and the schema: that of a class is what it knows of
the class, dataclasses, models and enums included.

    annotation --core--> core schema --SchemaValidator--> check
                                     --description--> JSON Schema

Imported where one of these is needed: in the fork server, for all its workers; never by a client.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NotRequired, Required

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, SchemaValidator, core_schema
from typing_extensions import ReadOnly, get_protocol_members, get_type_hints, is_typeddict

from ..wire import values
from .annotations import UNIONS, accepted, bound_of, constrains, decides_for_itself, name_of

ANY: CoreSchema = core_schema.any_schema()
_NATIVE = (int, float, str)
_TAGGED = values.TYPES - {*_NATIVE, bool, type(None), list, dict}
"""What travels as an object of its own kind (`wire.values`): JSON Schema has no word for it."""
_EXACTLY: Any = {"strict": True, "fail_fast": True}
_ABSTRACT: dict[Any, type] = dict.fromkeys((collections.abc.Sequence, collections.abc.Set), list)
_ABSTRACT |= dict.fromkeys((collections.abc.Mapping, collections.abc.MutableMapping), dict)
"""Kinds of containers whose items are looked at, and as those of what."""
_REQUIRED: dict[Any, bool | None] = {Required: True, NotRequired: False, ReadOnly: None}
_META = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "title", "description")
_MEMBER = "|"
"""In the place of an error, before the number of a union's member."""
_MOST_EXTRA = 100
"""Keys that a typed dictionary has not got, each of which is looked at."""
_OF_KEYS = {"missing": "must be there", "extra_forbidden": "must not be there"}


def validator(annotation: Any) -> SchemaValidator:
    """What checks values against an annotation.

    Raises:
        Exception: pydantic makes no sense of a constraint in it.
    """
    return SchemaValidator(core(annotation))


_again = functools.cache(validator)
"""Of annotations that are a part of themselves, which can be a key."""


# ---- what an annotation means -----------------------------------------------------------------------------------


def core(annotation: Any, constraints: tuple[Any, ...] = (), within: tuple[Any, ...] = ()) -> CoreSchema:
    """The core schema for an annotation.

    Args:
        constraints: those that stood around it.
        within: annotations that it is a part of, if they have names.

    Raises:
        Exception: pydantic makes no sense of a constraint.
    """
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        found = tuple(_constraint(each) for each in members[1:] if constrains(each))
        return core(members[0], found + constraints, within)
    if isinstance(annotation, typing.NewType):
        return core(annotation.__supertype__, constraints, within)
    if isinstance(annotation, typing.TypeVar):
        return core(bound_of(annotation), constraints, within)
    if annotation in within:  # looked up when a value goes so deep, and not described again
        return _function(lambda value: _again(annotation).validate_python(value), ANY, constraints)
    if hasattr(annotation, "__value__"):  # type X = ...
        return core(annotation.__value__, constraints, (*within, annotation))
    if is_typeddict(annotation):
        return _constrained(_keys(annotation, (*within, annotation)), constraints)
    if origin is typing.Literal:
        return _literal(members, constraints)
    if members or annotation == tuple[()]:
        parts = [ANY if each is Ellipsis else core(each, (), within) for each in members]
        if (made := _container(origin, parts, constraints, is_open=Ellipsis in members)) is not None:
            return made
    return _instance(origin or annotation, constraints)


def _container(
    origin: Any, parts: list[CoreSchema], constraints: tuple[Any, ...], *, is_open: bool
) -> CoreSchema | None:
    """A container or a union by its parts; None for what is neither. The first item that does not fit is told."""
    if origin in UNIONS:
        choices: Any = [(part, f"{_MEMBER}{number}") for number, part in enumerate(parts)]
        return _constrained(core_schema.union_schema(choices, mode="left_to_right"), constraints)
    if origin is list:
        return _constrained(core_schema.list_schema(parts[0], **_EXACTLY), constraints)
    if origin is dict:
        return _constrained(core_schema.dict_schema(*parts, **_EXACTLY), constraints)
    if origin is tuple:
        items, rest = (parts[:1], 0) if is_open else (parts, None)
        like: CoreSchema = core_schema.tuple_schema(items, variadic_item_index=rest, **_EXACTLY)
        return _told(ANY, _constrained(like, constraints))
    if origin in (set, frozenset):
        kind = core_schema.set_schema if origin is set else core_schema.frozenset_schema
        return _told(ANY, _constrained(kind(parts[0], **_EXACTLY), constraints))
    if origin not in _ABSTRACT:
        return None
    concrete = _ABSTRACT[origin]
    like = (core_schema.list_schema if concrete is list else core_schema.dict_schema)(*parts, fail_fast=True)
    look = core_schema.no_info_before_validator_function(concrete, _constrained(like, constraints))
    check = core_schema.chain_schema([core_schema.is_instance_schema(origin, cls_repr=origin.__name__), look])
    return _told(_constrained(like, constraints), check)


def _keys(cls: Any, within: tuple[Any, ...]) -> CoreSchema:
    """A typed dictionary: these keys and no other."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError:  # imported for type checkers only
        hints = dict.fromkeys(cls.__annotations__, Any)
    fields = {}
    for key, hint in hints.items():
        required: bool = key in cls.__required_keys__
        while (qualifier := typing.get_origin(hint)) in _REQUIRED:
            required = required if (told := _REQUIRED[qualifier]) is None else told
            hint = typing.get_args(hint)[0]  # noqa: PLW2901
        fields[key] = core_schema.typed_dict_field(core(hint, (), within), required=required)
    keys = core_schema.typed_dict_schema(fields, strict=True, extra_behavior="forbid")
    # Each key too many is an error of its own, and takes its time: no caller is to send a million.
    few = core_schema.dict_schema(max_length=len(fields) + _MOST_EXTRA, **_EXACTLY)
    return _told(keys, core_schema.chain_schema([few, keys]))


def _literal(members: Sequence[Any], constraints: tuple[Any, ...]) -> CoreSchema:
    names = " or ".join(map(repr, members))

    def look(value: Any) -> Any:
        # True is no Literal[1], though they are equal.
        if not any(type(value) is type(each) and value == each for each in members):
            raise PydanticCustomError("literal_error", "Input should be {names}", {"names": names})
        return value

    return _function(look, core_schema.literal_schema(list(members)), constraints)


def _instance(annotation: Any, constraints: tuple[Any, ...]) -> CoreSchema:
    """What is an instance of a class; anything for what is no class."""
    cls = type(None) if annotation is None else str if annotation is typing.LiteralString else annotation
    if not isinstance(cls, type) or cls in (Any, object, inspect.Parameter.empty):
        return _constrained(ANY, constraints)
    known = ANY if cls in _TAGGED else _known(cls)
    if not getattr(cls, "_is_protocol", False) and not decides_for_itself(cls):
        check: CoreSchema = core_schema.is_instance_schema(accepted(cls), cls_repr=name_of(cls))
        if constraints:
            check = core_schema.chain_schema([check, _constrained(known if cls in _NATIVE else ANY, constraints)])
        return _told(_constrained(known, constraints), check)
    names = get_protocol_members(cls) if getattr(cls, "_is_protocol", False) else None

    def look(value: Any) -> Any:
        passes = isinstance(value, cls) if names is None else all(hasattr(value, name) for name in names)
        if not passes:
            raise PydanticCustomError("is_instance_of", "Input should be {class}", {"class": name_of(cls)})
        return value

    return _function(look, known, constraints)


def _known(cls: type) -> CoreSchema:
    """What pydantic knows of a class, if anything."""
    try:
        known = TypeAdapter(cls).core_schema
    except Exception:  # it is checked all the same
        return ANY
    return known if isinstance(known, dict) else ANY  # of a class that is not defined to its end


def _function(look: Callable[[Any], Any], told: CoreSchema, constraints: tuple[Any, ...]) -> CoreSchema:
    """What a function lets pass."""
    check = core_schema.no_info_plain_validator_function(look)
    return _told(_constrained(told, constraints), _constrained(check, constraints))


def _told(told: CoreSchema, check: Any) -> CoreSchema:
    made: CoreSchema = check | {"metadata": {"told": told}}
    return made


def _constraint(metadata: Any) -> Any:
    if type(metadata).__module__ != "msgspec":
        return metadata
    from pydantic import Field  # noqa: PLC0415 it brings much along

    return Field(**{name: told for name in _META if (told := getattr(metadata, name)) is not None})


def _constrained(schema: CoreSchema, constraints: tuple[Any, ...]) -> CoreSchema:
    """A schema with what pydantic makes of constraints."""

    class Known:
        def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
            return schema

    return TypeAdapter(Annotated[Any, Known(), *constraints]).core_schema if constraints else schema


# ---- what does not fit ------------------------------------------------------------------------------------------


def misfit_of(checking: SchemaValidator, value: Any) -> str | None:
    """What does not fit in a value, and where; None if it passes."""
    try:
        checking.validate_python(value)
    except ValidationError as error:
        return _sentence(error.errors(include_url=False), value)
    except TypeError as error:
        if not str(error).startswith("Unable to apply constraint"):
            raise
        return f"does not fit its annotation: {error}"
    return None


def _sentence(errors: Sequence[ErrorDetails], value: Any) -> str:
    """The first error; for a union, the first of each of its members."""
    told: dict[tuple[int | str, ...], str] = {}
    first, _ = _fork(errors[0]["loc"])
    for error in errors:
        before, member = _fork(error["loc"])
        if before == first:
            where = _where(error["loc"], value)
            if error["type"] in _OF_KEYS:
                where = where.removeprefix("value of ")
            told.setdefault(member, where + _what(error))
    whole = "; or ".join(dict.fromkeys(told.values()))
    return whole if whole.startswith("must ") else f"does not fit its annotation: {whole}"


def _fork(loc: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
    """The way to a union, and by which of its members it goes on."""
    for index, step in enumerate(loc):
        if str(step).startswith(_MEMBER):
            return loc[:index], loc[index : index + 1]
    return loc, ()


def _where(loc: tuple[Any, ...], value: Any) -> str:
    steps: list[str] = [type(value).__name__]
    for step in loc:
        if str(step).startswith(_MEMBER):
            continue
        if step == "[key]":  # not the value, which the step before stands for otherwise
            steps[-1] = steps[-1].removeprefix("value of ")
        elif isinstance(value, collections.abc.Mapping):
            steps.append(f"value of key {step!r}")
            value = value.get(step)
        else:
            steps.append("an item" if isinstance(value, collections.abc.Set) else f"item {step}")
            value = value[step] if isinstance(value, collections.abc.Sequence) and step in range(len(value)) else None
    return f"{' of '.join(reversed(steps))} " if len(steps) > 1 else ""


def _what(error: ErrorDetails) -> str:
    given = type(error["input"]).__name__
    kind, _, ending = error["type"].rpartition("_")
    if error["type"] in _OF_KEYS:
        return _OF_KEYS[error["type"]]
    if error["type"] == "is_instance_of":
        return f"must be {error['ctx']['class']}, not {given}"
    if ending == "type":
        return f"must be {kind}, not {given}"
    subject, _, rest = error["msg"].partition(" should ")
    return f"must {rest}" if rest else subject
