"""Which library checks arguments best: `python -m bench.checks`.

In processes of their own: what the import costs, what a forked worker holds of its own when the import was made before
the fork and when it was not, what a check costs, and which annotations mean something else than PEP 484 says, without
any conversion. "rpcsvc" is what this package makes of pydantic. typeguard is to be installed for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import gc
import os
import subprocess
import sys
import timeit
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from rpcsvc.functions.checks import compile_check

LIBRARIES = ("none", "rpcsvc", "pydantic", "msgspec", "typeguard")
Passes = Callable[[Any], bool]


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"


class Keys(TypedDict):
    x: int


class Sized(typing.Protocol):
    def __len__(self) -> int: ...


def signatures() -> dict[str, tuple[Any, Any]]:
    """Annotations as people write them, each with a value that fits."""
    import annotated_types  # noqa: PLC0415 each process imports what it measures
    import msgspec  # noqa: PLC0415

    positive = msgspec.Meta(gt=0) if "msgspec" in sys.argv else annotated_types.Gt(0)
    found = {
        "int": (int, 1),
        "list[float], 100 items": (list[float], [0.5] * 100),
        "dict[str, int], 10 items": (dict[str, int], {str(n): n for n in range(10)}),
        "int | None": (int | None, None),
        "Literal": (Literal["up", "down"], "down"),
        "Annotated, > 0": (Annotated[int, positive], 1),
        "dataclass": (Point, Point(1, 2)),
    }
    if "msgspec" not in sys.argv:
        import pydantic  # noqa: PLC0415

        model = pydantic.create_model("Model", x=(int, ...))
        found["pydantic model"] = (model, model(x=1))
    return found


MEANINGS: Sequence[tuple[Any, Any, bool]] = (
    (int, True, True),
    (list[int], [True], True),
    (int, "3", False),
    (float, 1, True),
    (list[float], [10**400], True),
    (complex, 1, True),
    (tuple[int, str], [1, "a"], False),
    (list[int], (1, 2), False),
    (set[int], [1], False),
    (Literal[1], True, False),
    (Sequence[str], "abc", True),
    (Mapping[str, int], {"a": 1}, True),
    (int | list[int] | tuple[int, ...], (1,), True),
    (list[datetime.date], [datetime.datetime(2024, 1, 1)], True),
    (list[decimal.Decimal], [decimal.Decimal("nan")], True),
    (Keys, {"x": 1}, True),
    (Keys, {"x": 1, "y": 2}, False),
    (Sized, "abc", True),
    (Sized, 1, False),
    (list["Nowhere"], [1], True),  # type: ignore[name-defined] # noqa: F821
    (Colour, "red", False),
    (Point, {"x": 1, "y": 2}, False),
)
"""An annotation, a value, and whether it passes."""


def passes(library: str, annotation: Any) -> Passes:
    """What tells whether a value passes, by one library."""
    match library:
        case "rpcsvc":
            check = compile_check(annotation)
            assert check is not None
            check.prepare()
            wrong = check.wrong
            return lambda value: wrong(value) is None
        case "pydantic":
            import pydantic  # noqa: PLC0415

            options = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)
            try:
                adapter = pydantic.TypeAdapter(annotation, config=options)
            except pydantic.PydanticUserError:  # a class with a configuration of its own
                adapter = pydantic.TypeAdapter(annotation)
            return _unless(pydantic.ValidationError, adapter.validate_python)
        case "msgspec":
            import msgspec  # noqa: PLC0415

            return _unless(msgspec.ValidationError, lambda value: msgspec.convert(value, annotation))
        case "typeguard":
            import typeguard  # noqa: PLC0415

            policy, all_items = typeguard.ForwardRefPolicy.IGNORE, typeguard.CollectionCheckStrategy.ALL_ITEMS

            def check_type(value: Any) -> Any:
                typeguard.check_type(value, annotation, forward_ref_policy=policy, collection_check_strategy=all_items)

            return _unless(typeguard.TypeCheckError, check_type)
    return lambda _: True


def _unless(error: type[Exception], check: Callable[[Any], Any]) -> Passes:
    def outcome(value: Any) -> bool:
        try:
            check(value)
        except error:
            return False
        return True

    return outcome


# ---- measured in a process of its own ---------------------------------------------------------------------------


def private_bytes() -> int:
    """What this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def memory(library: str, when: str) -> None:
    """Print what a forked worker holds of its own after some checks."""
    if when == "before":
        passes(library, list[int])
    gc.collect()
    gc.freeze()
    if os.fork() == 0:
        fits = passes(library, list[int])
        for _ in range(1000):
            fits([1, 2, 3])
        print(private_bytes(), flush=True)
        os._exit(0)
    os.wait()


def cost(library: str) -> None:
    """Print what the checks of the signatures cost, in µs."""
    for name, (annotation, value) in signatures().items():
        fits = passes(library, annotation)
        assert fits(value), name
        number = 2000
        print(f"{name}\t{min(timeit.repeat(lambda: fits(value), number=number, repeat=7)) / number * 1e6:.2f}")  # noqa: B023


def meanings(library: str) -> None:
    """Print what an annotation does not mean to a library that it means by PEP 484."""
    for annotation, value, expected in MEANINGS:
        try:
            found: object = passes(library, annotation)(value)
        except Exception as error:
            found = type(error).__name__
        if found is not expected:
            print(f"{annotation}: {value!r:.30} {found}".replace("__main__.", "").replace("typing.", ""))


def _in_a_process(*arguments: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-m", "bench.checks", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def _import_ms(library: str) -> float:
    module = {"none": "", "rpcsvc": "import rpcsvc.functions.adapters", "pydantic": "from pydantic import TypeAdapter"}
    code = (
        "import rpcsvc.functions.checks, time; began = time.process_time();"
        f"{module.get(library, f'import {library}')}\nprint(time.process_time() - began)"
    )
    runs = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7)]
    return min(runs) * 1000


def main() -> None:
    if sys.argv[1:]:
        what, *arguments = sys.argv[1:]
        {"memory": memory, "cost": cost, "meanings": meanings}[what](*arguments)
        return
    print(f"{'':10} {'import, ms':>12} {'private MiB, imported before the fork':>40} {'after it':>10}")
    for library in LIBRARIES:
        before, after = (int(_in_a_process("memory", library, when)[0]) / 2**20 for when in ("before", "after"))
        print(f"{library:10} {_import_ms(library):12.0f} {before:40.1f} {after:10.1f}")
    costs = {library: dict(line.split("\t") for line in _in_a_process("cost", library)) for library in LIBRARIES[1:]}
    print(f"\n{'µs a check':26}" + "".join(f"{library:>11}" for library in costs))
    for name in costs["rpcsvc"]:
        print(f"{name:26}" + "".join(f"{costs[library].get(name, '-'):>11}" for library in costs))
    for library in LIBRARIES[1:]:
        missed = _in_a_process("meanings", library)
        print(f"\n{library}: {len(missed)} of {len(MEANINGS)} annotations mean something else")
        print("".join(f"    {line}\n" for line in missed), end="")


if __name__ == "__main__":
    main()
