"""What is said of a value that does not travel: where it is, what it is, and what to pass instead."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

_SHOWN_STEPS = 8
_SHOWN_KEY = 40


class Refusal(Exception):
    """A value inside another one cannot travel; each container on the way out adds its step."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def inside(self, step: str) -> Refusal:
        self.steps.append(step)
        return self

    def __str__(self) -> str:
        steps = self.steps[::-1]
        path = "".join(steps[:_SHOWN_STEPS]) + ("…" if len(steps) > _SHOWN_STEPS else "")
        return f"at {path}: {self.reason}" if path else self.reason


def show(subject: Any) -> str:
    """A type's qualified name, or a dict's key, short enough for a sentence."""
    if isinstance(subject, type):
        module = "" if subject.__module__ == "builtins" else f"{subject.__module__}."
        return f"{module}{subject.__qualname__}"
    if type(subject) is str and len(subject) > _SHOWN_KEY:
        return f"{subject[:_SHOWN_KEY]!r}…"
    # repr of a huge int is an error, and of a stranger's type anything: only what is known to be short is shown.
    if type(subject) in (str, bool, float, type(None)) or (type(subject) is int and abs(subject) < 10**20):
        return repr(subject)
    return f"<{show(type(subject))}>"


_CONVERTIBLE: tuple[type, ...] = (bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset)
_PLAIN: tuple[type, ...] = (Decimal, UUID, datetime, date, time, timedelta)


def refusal(value: object) -> Refusal:
    """The refusal of a type that is none of those that travel."""
    return Refusal(f"a value of type {show(type(value))} does not travel; {_advice(value)}")


def array_refusal(value: Any) -> Refusal:
    """The refusal of a numpy array whose items are no numbers of a size that every machine has."""
    dtype = value.dtype
    match dtype.kind:
        case "V" if dtype.names:
            advice = "pass {name: value[name] for name in value.dtype.names}; value.tolist() loses the names"
        case "V":
            advice = "pass value.tobytes()"
        case "M" | "m":
            advice = _TIMES.format(kind="datetime64" if dtype.kind == "M" else "timedelta64", take="tolist()")
        case "f" | "c":
            advice = (
                f"pass value.astype('{'float64' if dtype.kind == 'f' else 'complex128'}'), which keeps fewer digits"
            )
        case _:
            advice = "pass value.tolist(), or an array of numbers"
    return Refusal(f"an array of dtype {dtype} does not travel; {advice}")


_TIMES = (
    "pass value.astype('{kind}[us]').{take}, which keeps whole microseconds, or value.astype('int64') and its unit"
    " (numpy turns nanoseconds, months and years into bare numbers)"
)


def _advice(value: object) -> str:
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return "pass its name"
    for applies, advice in _ADVICE:
        if applies(value):
            return advice
    return "pass numbers, text, bytes, dates, or lists, tuples, sets and dicts of them"


_Rule: TypeAlias = tuple[Callable[[object], bool], str]


def _advise_base(kind: type | tuple[type, ...], advice: str) -> _Rule:
    return lambda value: isinstance(value, kind), advice


def _advise_foreign(package: str, names: str, advice: str) -> _Rule:
    """A rule for classes of a package that is not imported for this, and for what is derived from them."""
    wanted = {(package, name) for name in names.split()}
    return (
        lambda value: any((cls.__module__.partition(".")[0], cls.__name__) in wanted for cls in type(value).__mro__),
        advice,
    )


def _advise_attribute(name: str, advice: str) -> _Rule:
    return lambda value: hasattr(type(value), name), advice


# The first that applies: an IntEnum is an int too, a numpy.float64 a float, a datetime a date, a Mapping an Iterable;
# a table and a model are Iterables of something else than what they hold.
_ADVICE: tuple[_Rule, ...] = (
    _advise_base(enum.Enum, "pass its .value"),
    _advise_foreign(
        "numpy", "MaskedArray", "pass value.filled(FILL), a plain numpy.ndarray, or value.data and value.mask"
    ),
    _advise_foreign("numpy", "recarray", "pass {name: numpy.asarray(value[name]) for name in value.dtype.names}"),
    _advise_foreign("numpy", "ndarray", "pass numpy.asarray(value)"),
    _advise_foreign("numpy", "datetime64", _TIMES.format(kind="datetime64", take="item()")),
    _advise_foreign("numpy", "timedelta64", _TIMES.format(kind="timedelta64", take="item()")),
    _advise_foreign("numpy", "longdouble", "pass float(value), which keeps fewer digits"),
    _advise_foreign("numpy", "clongdouble", "pass complex(value), which keeps fewer digits"),
    _advise_foreign(
        "numpy", "void", "pass {name: value[name].item() for name in value.dtype.names}, or value.tobytes()"
    ),
    _advise_foreign("numpy", "generic", "pass value.item()"),
    _advise_foreign("pandas", "NaTType NAType", "pass None"),
    _advise_foreign("pandas", "Timestamp", "pass value.to_pydatetime(), which keeps whole microseconds"),
    _advise_foreign("pandas", "Timedelta", "pass value.to_pytimedelta(), which keeps whole microseconds"),
    _advise_foreign(
        "pandas", "DataFrame", "pass value.to_dict('list') (list(value) would be the names of its columns)"
    ),
    _advise_foreign("pandas", "Series Index ExtensionArray", "pass value.tolist()"),
    _advise_foreign("polars", "DataFrame", "pass value.to_dict(as_series=False)"),
    _advise_foreign("polars", "Series", "pass value.to_list()"),
    _advise_foreign("pyarrow", "Table RecordBatch", "pass value.to_pydict()"),
    _advise_foreign("pyarrow", "Array ChunkedArray", "pass value.to_pylist()"),
    _advise_foreign("torch", "Tensor", "pass value.numpy(force=True)"),
    _advise_attribute("model_dump", "pass value.model_dump()"),  # pydantic
    _advise_attribute("__struct_fields__", "pass msgspec.structs.asdict(value)"),
    _advise_attribute("__attrs_attrs__", "pass attrs.asdict(value)"),
    (dataclasses.is_dataclass, "pass dataclasses.asdict(value)"),
    *(_advise_base(kind, f"pass {kind.__name__}(value)") for kind in _CONVERTIBLE),
    *(_advise_base(kind, f"pass a plain {show(kind)}") for kind in _PLAIN),
    _advise_base(memoryview, "pass bytes(value)"),
    _advise_attribute("read", "pass what value.read() gives"),
    _advise_attribute("__fspath__", "pass os.fspath(value)"),
    (lambda value: hasattr(type(value), "__array__") and hasattr(type(value), "shape"), "pass numpy.asarray(value)"),
    _advise_attribute("__index__", "pass int(value)"),
    _advise_base(Mapping, "pass dict(value)"),
    _advise_base(Iterable, "pass list(value)"),
)
