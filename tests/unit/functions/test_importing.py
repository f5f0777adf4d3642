"""The mark of an import for workers, and what a server says when it finds it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from rpcsvc.errors import ConfigurationError
from rpcsvc.functions.importing import VARIABLE, check_is_importable, importing, refuse_server


def test_a_server_is_refused_while_a_registry_is_imported_and_never_else() -> None:
    environ: dict[str, str] = {}
    refuse_server("me:registry", environ)
    with importing("me:registry", environ):
        for registry in ("me:registry", "other:registry"):
            with pytest.raises(ConfigurationError, match="the import of 'me:registry'") as caught:
                refuse_server(registry, environ)
            assert f'    if __name__ == "__main__":\n        RpcServer({registry!r}).run()' in str(caught.value)
    refuse_server("me:registry", environ)


def test_so_it_is_in_a_program_that_the_import_starts_if_it_serves_the_same() -> None:
    with pytest.raises(ConfigurationError, match="runs a server itself"):
        refuse_server("me:registry", {VARIABLE: "me:registry"})
    refuse_server("other:registry", {VARIABLE: "me:registry"})


def test_the_mark_goes_when_the_import_fails_and_when_it_has_emptied_the_environment() -> None:
    environ: dict[str, str] = {}

    def fail() -> None:
        with importing("me:registry", environ):
            environ.clear()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    refuse_server("me:registry", environ)


@pytest.mark.parametrize(
    ("main", "name"),
    [
        (SimpleNamespace(__spec__=None, __file__="/srv/app/shapes.py"), "shapes"),
        (
            SimpleNamespace(__spec__=SimpleNamespace(name="shop.prices"), __file__="/srv/app/shop/prices.py"),
            "shop.prices",
        ),
        (SimpleNamespace(), "MODULE"),
    ],
)
def test_the_programs_own_module_has_another_name_in_other_processes(
    monkeypatch: pytest.MonkeyPatch, main: SimpleNamespace, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", main)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=f"give its own name, '{name}:registry'"):
        check_is_importable("__main__:registry")
    check_is_importable("main:registry")
