"""The check of a value against an annotation, as PEP 484 reads it.

Plain classes, and unions of them, are looked at here: most registries name no more than that, and need no library for
it. Everything else is pydantic's work (`adapters`), which is imported by the first check that is prepared or made.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .annotations import UNIONS, accepted, constrains, is_special, name_of


@dataclass(frozen=True, slots=True)
class Check:
    """A check of values against one annotation.

    Attributes:
        wrong: says what is wrong with a value, or None.
        exact: types whose values need no look, where those suffice to tell; None where they do not.
        prepare: makes ready what the first look would have to; raises whatever is wrong with the annotation.
    """

    wrong: Callable[[Any], str | None]
    exact: frozenset[type] | None = None
    prepare: Callable[[], object] = lambda: None


def compile_check(annotation: Any) -> Check | None:
    """A check for an annotation, or None where it lets everything pass."""
    if typing.get_origin(annotation) is typing.Annotated and not any(map(constrains, annotation.__metadata__)):
        return compile_check(annotation.__origin__)
    if annotation in (inspect.Parameter.empty, Any, object):
        return None
    if annotation is None:
        annotation = type(None)
    members = typing.get_args(annotation) if typing.get_origin(annotation) in UNIONS else (annotation,)
    if Any in members:
        return None
    if all(isinstance(cls, type) and typing.get_origin(cls) is None and not is_special(cls) for cls in members):
        return _class_check(members)
    return _hint_check(annotation)


def _class_check(classes: tuple[type, ...]) -> Check:
    passing = tuple(each for cls in classes for each in accepted(cls))
    names = " or ".join(map(name_of, classes))

    def wrong(value: Any) -> str | None:
        if isinstance(value, passing):
            return None
        return f"must be {names}, not {type(value).__name__}"

    return Check(wrong, exact=frozenset(passing))


def _hint_check(hint: Any) -> Check:
    @functools.cache
    def prepared() -> Callable[[Any], str | None]:
        from .adapters import misfit_of, validator  # noqa: PLC0415 pydantic, where it is needed

        return functools.partial(misfit_of, validator(hint))

    def wrong(value: Any) -> str | None:
        return prepared()(value)

    return Check(wrong, prepare=prepared)
