"""Whether this process imports a registry for a server's workers.

What runs at import runs in the processes of every server that serves the module. A server that was started there would
import the module again in processes of its own, and so on without end. So the import is marked: in the process itself,
and in its environment, for programs that it starts. A server that is to run looks for the mark.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from ..errors import ConfigurationError

VARIABLE = "RPCSVC_IMPORTING"
"""In the environment while an import runs: the registry. Gone when functions run, which may start servers."""

_targets: list[str] = []


@contextmanager
def importing(target: str, environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Mark what runs in the block as the import of a registry, MODULE:NAME."""
    _targets.append(target)
    environ[VARIABLE] = target
    try:
        yield
    finally:
        _targets.pop()
        environ.pop(VARIABLE, None)


def refuse_server(registry: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """See that a server of `registry` is not run by an import for workers.

    Raises:
        ConfigurationError: it is; the sentence says what to write.
    """
    if _targets:
        imported = _targets[-1]
    elif environ.get(VARIABLE) == registry:
        imported = registry
    else:
        return
    raise ConfigurationError(
        f"the import of {imported!r} for the workers of a server runs a server itself, whose workers would import it"
        f" again, and so on; run it only where the file is the program:\n"
        f'    if __name__ == "__main__":\n'
        f"        RpcServer({registry!r}).run()"
    )


def check_is_importable(registry: str) -> None:
    """See that other processes can import a registry, MODULE:NAME, by that name.

    Raises:
        ConfigurationError: it names the program's own module, which has another name elsewhere.
    """
    module, _, name = registry.partition(":")
    if module == "__main__":
        raise ConfigurationError(
            f"worker processes cannot import the registry by the name {registry!r}: __main__ is another module there;"
            f" give its own name, '{_name_of_main()}:{name}', and run the server below"
            f' if __name__ == "__main__":'
        )


def _name_of_main() -> str:
    """By which the module that runs as the program can be imported, as far as one can tell."""
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return os.path.splitext(os.path.basename(file or "MODULE"))[0]
