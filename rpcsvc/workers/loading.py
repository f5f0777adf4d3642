"""The import of a registry, and what it may do to the process that imports it.

An import runs anything. What the fork server needs of its process is set again afterwards: its handlers of signals,
their wake-up descriptor, signals that were blocked, timers that would end it. What belongs to the registry stays as it
is, and workers begin with it: folder, environment, umask, resource limits, standard streams.

Threads do not survive a fork. A library that has started some, and does not know that, hangs in every worker.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError
from ..functions.function import Function
from ..functions.importing import importing
from ..functions.registration import Registry
from ..settings.names import check_registry
from .inside.own import Belongings, Handler, fork, leave_if_strayed

_TIMERS = {
    "ITIMER_REAL": signal.ITIMER_REAL,
    "ITIMER_VIRTUAL": signal.ITIMER_VIRTUAL,
    "ITIMER_PROF": signal.ITIMER_PROF,
}


class WrongTarget(ConfigurationError):
    """MODULE:NAME is malformed, or names no registry: a sentence says it all, without a traceback."""


def load_registry(target: str) -> Registry:
    """Import `MODULE:NAME` and return the registry it names.

    Raises:
        WrongTarget: `target` is malformed, or there is no such module, or it names no Registry.
        RegistrationError: an annotation in it constrains what it cannot.
        Exception: whatever the import raises.
    """
    try:
        module_name, _, name = check_registry(target).partition(":")
    except ConfigurationError as error:
        raise WrongTarget(str(error)) from None
    with importing(target):
        module = _imported(module_name)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise WrongTarget(f"{target!r}: there is no {part!r} in {module_name}{_registries_of(module)}")
        found = getattr(found, part)
    if not isinstance(found, Registry):
        raise WrongTarget(f"{target!r} is a {type(found).__name__}, not a rpcsvc.Registry")
    if not len(found) and not found.handlers:
        raise WrongTarget(f"{target!r} holds no functions")
    found.prepare()
    return found


def _imported(name: str) -> ModuleType:
    """The module; one that is not there is told apart from one whose own imports fail."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise WrongTarget(
            f"No module named {error.name!r}. It is looked for in the folder where the server is started "
            f"({os.getcwd()}), then where {sys.executable} looks: start the server where the module is, or install it "
            "into that Python"
        ) from None


def _registries_of(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Registry)]
    return f"; it has {', '.join(f'{module.__name__}:{name}' for name in names)}" if names else ""


def try_to_load(target: str) -> tuple[Registry | None, dict[str, Any]]:
    """Import a registry; with what the server is told of it: its functions, or why there are none.

    The import may fork, and its child come to the end of it: it ends there.
    """
    try:
        registry = load_registry(target)
    except BaseException as error:
        leave_if_strayed(error)
        return None, {"failed": f"{error}\n" if isinstance(error, WrongTarget) else traceback.format_exc()}
    leave_if_strayed()
    served = {each.name: _facts(registry, each) for each in registry}
    handled = {
        name: {"patterns": each.patterns, "exchange": each.exchange, "served": _facts(registry, each.function)}
        for name, each in registry.handlers.items()
    }
    return registry, {"loaded": served, "handlers": handled}


def _facts(registry: Registry, function: Function) -> dict[str, Any]:
    """What a server is told of a function."""
    retry = function.retry
    return {
        "idempotent": function.idempotent,
        "max_attempts": function.max_attempts,
        "time_limit": function.limits.hard,
        "is_default": function.name == registry.default,
        "retry": None if retry is None else [retry.attempts, retry.back_off, retry.up_to],
    }


class SignalState:
    """The handlers of signals of a process, its wake-up descriptor, and the timers that it has not got.

    Args:
        own: what the process does not share with its children.
        handlers: by the number of the signal.
        wakeup: the descriptor that the interpreter writes to when a signal comes; -1 is none.
    """

    def __init__(self, own: Belongings, handlers: Mapping[signal.Signals, Handler], wakeup: int) -> None:
        self._own = own
        own.add(lambda: signal.set_wakeup_fd(-1))
        self._handlers = handlers
        self._wakeup = wakeup

    def set(self) -> list[str]:
        """Set all of it, again where it was set before; what was not as it is to be, in words."""
        changed = []
        for number, handler in self._handlers.items():
            # Set in any case: a library in C may have changed what Python believes to know.
            if self._own.handle(number, handler) is not handler:
                changed.append(f"the handler of {number.name}")
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handlers) & set(self._handlers)
        changed += [f"{signal.Signals(number).name}, which was blocked" for number in sorted(blocked)]
        if signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False) != self._wakeup:
            changed.append("the wake-up descriptor of signals")
        for name, timer in _TIMERS.items():
            if signal.setitimer(timer, 0) != (0.0, 0.0):
                changed.append(f"the timer {name}")
        return changed


def threads_lost_by_a_fork(tasks: Path = Path("/proc/self/task")) -> list[str]:
    """The names of the threads of this process that its children will lack and miss.

    Some libraries (OpenBLAS) end their threads before each fork, and start them anew when they need them. So this
    forks once to see which are left.
    """
    if len(_threads(tasks)) < 2:
        return []
    with contextlib.suppress(OSError):
        pid = fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    left = _threads(tasks)
    main = left.pop(os.getpid(), "")
    known = {thread.native_id: thread.name for thread in threading.enumerate()}
    # A thread has its maker's name until it gets one of its own.
    return sorted(known.get(number) or (name if name != main else "without a name") for number, name in left.items())


def _threads(tasks: Path) -> dict[int, str]:
    """The threads of this process by number, each with the name that the system knows."""
    found = {}
    try:
        for task in tasks.iterdir():
            with contextlib.suppress(OSError):
                found[int(task.name)] = (task / "comm").read_text(errors="replace").strip()
    except OSError:
        return {thread.native_id or 0: thread.name for thread in threading.enumerate()}
    return found
