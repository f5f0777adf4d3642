"""What a fork server and its workers find when they start: folder, search path, interpreter, environment.

Rules: what has a name is looked up when it is used, not before. A deployment that turns a link (`current` to
`releases/2`) and asks for a reload means the new folder; so the working folder is kept by the name that it was entered
by, and paths below it likewise. The interpreter's options are those that this one was started with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PASSED_ON = frozenset("bBdEIOPqRsSuv")
"""The interpreter's options of one letter that concern how code runs. Not -i, -x, -h, -V: those are the program's."""
_OPENMP = "OMP_NUM_THREADS"
_FOLLOW_OPENMP = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_BY_THEMSELVES = ("VECLIB_MAXIMUM_THREADS",)


@dataclass(frozen=True, slots=True)
class Folder:
    """The working folder.

    Attributes:
        name: what it was entered by, links and all; empty where there is none (it was removed).
        real: what the system calls it.
    """

    name: str
    real: str

    @classmethod
    def here(cls, environ: Mapping[str, str] = os.environ) -> Folder:
        """The working folder of this process. A shell notes in PWD by which name it was entered."""
        try:
            real = os.getcwd()
        except OSError:
            return cls("", "")
        name = environ.get("PWD", "")
        try:
            return cls(name if os.path.isabs(name) and os.path.samefile(name, ".") else real, real)
        except OSError:
            return cls(real, real)

    def path(self, path: str) -> str:
        """A path that does not depend on the working folder, and names it, where it leads there, by its name.

        Nothing is normalized: `..` behind a link is the system's to follow.
        """
        if not self.name:
            return path
        if path in ("", ".", self.real):
            return self.name
        if path.startswith(self.real.rstrip("/") + "/"):
            return os.path.join(self.name, path[len(self.real.rstrip("/")) + 1 :])
        return os.path.join(self.name, path)

    @property
    def to_enter(self) -> str | None:
        """The folder's name, if it is still there; None leaves a process where its parent is."""
        return self.name if self.name and os.path.isdir(self.name) else None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the processes of a pool start in.

    Attributes:
        folder: the working folder.
        preload: whether the fork server imports the registry, for all workers; else each worker does.
        blas_threads: how many threads a worker's libraries for linear algebra and OpenMP may use; None says nothing.
    """

    folder: Folder
    preload: bool = True
    blas_threads: int | None = None

    @classmethod
    def here(cls, *, preload: bool = True, blas_threads: int | None = None) -> Surroundings:
        """The surroundings of this process."""
        return cls(Folder.here(), preload, blas_threads)

    def command(self, code: str, *arguments: str) -> list[str]:
        """The command line of an interpreter like this one that runs `code`."""
        executable = self.folder.path(sys.executable)
        if not os.access(executable, os.X_OK):
            executable = sys.executable
        return [executable, *interpreter_options(sys.orig_argv), "-c", code, *arguments]

    @property
    def search_path(self) -> list[str]:
        """Where modules are looked for: `sys.path` as it is now."""
        return [self.folder.path(entry) for entry in sys.path]

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment, as it is now."""
        own = {} if self.blas_threads is None else thread_variables(self.blas_threads, environ)
        where = {"PWD": self.folder.name} if self.folder.to_enter else {}
        return {**environ, **own, **where}


def interpreter_options(command_line: Sequence[str]) -> list[str]:
    """The options of an interpreter, out of its whole command line (`sys.orig_argv`), in the order they were given.

    Not those that concern the program rather than how it runs: which it is, and whether to stay afterwards.
    """
    options: list[str] = []
    words = iter(command_line[1:])
    for word in words:
        if word == "--check-hash-based-pycs":
            options += [word, next(words, "default")]
        elif word.startswith("--") or word == "-" or not word.startswith("-"):
            break
        else:
            for place, letter in enumerate(word[1:], 2):
                if letter in "cm":
                    return options
                if letter in "WX":
                    options += [f"-{letter}", word[place:] or next(words, "")]
                    break
                if letter in _PASSED_ON:
                    options.append(f"-{letter}")
    return options


def thread_variables(threads: int, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that bound the threads of OpenMP and of libraries for linear algebra, without what is set already.

    Most such libraries follow OpenMP's variable where their own is not set; if somebody set that, they are to.
    """
    names = _BY_THEMSELVES if environ.get(_OPENMP) else (_OPENMP, *_FOLLOW_OPENMP, *_BY_THEMSELVES)
    return {name: str(threads) for name in names if not environ.get(name)}
