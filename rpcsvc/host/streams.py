"""The standard streams of a command, which may be closed, full, broken or narrow.

What is said on standard error is a courtesy: that it cannot be written ends nothing. What goes to standard output is
what the command was asked for: that it cannot be written is noted, and told at the end, when the work is done.

    prepare()           at the start: descriptors 0 to 2 are open, `sys.stdout` and `sys.stderr` raise no OSError
    …                   anybody prints, logs, or draws tables as usual
    error = finish()    at the end: why something that was printed could not be written, or None

Letters that a stream's encoding lacks are written otherwise, `print_exactly` excepted. A stream that somebody has put
in the place of Python's own (a test, a program around the command) is left alone.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NARROW = "rpcsvc.narrow"
"""The error handler that writes what an encoding lacks in letters that every encoding has."""
_IN_ASCII = {0x2026: "...", 0xD7: "x", 0xB5: "u"}
"""What the command's own texts have beside ASCII. The rest becomes backslashes and numbers."""
_STANDARD = 3
"""Descriptors: input, output, errors."""
_PATIENCE = 1.0
"""Seconds for which a descriptor that another process has made non-blocking may take no bytes."""


class _File(io.FileIO):
    """A descriptor whose errors are kept, not raised.

    Attributes:
        error: the first error of a write, or None.
    """

    def __init__(self, fd: int, *, is_closed: bool) -> None:
        super().__init__(fd, "wb", closefd=False)
        self.error: OSError | None = None
        self._is_closed = is_closed

    def write(self, data: ReadableBuffer, /) -> int:
        """All of `data` is taken, also if it cannot be written."""
        left = whole = memoryview(data).cast("B")
        try:
            if self._is_closed:
                raise OSError(errno.EBADF, "it is closed")
            while left:
                left = left[self._write_some(left) :]
        except OSError as error:
            self.error = self.error or error
        return len(whole)

    def _write_some(self, data: memoryview) -> int:
        taken = super().write(data)
        if taken is None and not select.select((), (self,), (), _PATIENCE)[1]:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return taken or 0


_output: _File | None = None
"""What is behind `sys.stdout`, once it was prepared."""


def prepare() -> None:
    """Make the standard streams ones that can be used, whatever is behind them."""
    global _output  # noqa: PLW0603 there is one standard output
    codecs.register_error(_NARROW, _in_letters_of_all)
    closed = fill_closed()
    if sys.stdout is sys.__stdout__:
        _output = _File(1, is_closed=sys.stdout is None or 1 in closed)
        sys.stdout = _text(_output, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_File(2, is_closed=sys.stderr is None or 2 in closed), sys.stderr)


def fill_closed() -> list[int]:
    """Open descriptors 0 to 2 where they are closed; which were. They lead nowhere."""
    closed = [fd for fd in range(_STANDARD) if not _is_open(fd)]
    fill_standard_streams()
    return closed


def fill_standard_streams() -> bool:
    """Open the null device where a standard stream is closed; whether all are open now.

    Children inherit it, as they would a stream that had been open. `sys.stdin`, `stdout` and `stderr` stay None.
    """
    for descriptor in range(_STANDARD):
        try:
            os.fstat(descriptor)
        except OSError:
            try:
                opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            except OSError:
                return False
            os.set_inheritable(opened, opened < _STANDARD)
            if opened != descriptor:  # another thread was quicker
                os.close(opened)
    return True


def finish() -> OSError | None:
    """Write what is left; why something that was printed on standard output could not be written, or None."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return None if _output is None else _output.error


def forget() -> None:
    """Forget what could not be written so far: it has been told."""
    if _output is not None:
        _output.error = None


def print_exactly(text: str) -> None:
    """Print a line on standard output as it is.

    Raises:
        UnicodeEncodeError: the encoding of standard output lacks a letter of it; nothing is printed.
    """
    data = f"{text}\n".encode(sys.stdout.encoding)
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _text(file: _File, before: TextIO | None) -> io.TextIOWrapper:
    """A text stream on `file`, for the rest like the one before; None is what Python has for one that is closed."""
    is_unbuffered = bool(getattr(before, "write_through", False))  # python -u
    return io.TextIOWrapper(
        cast("io.BufferedWriter", file) if is_unbuffered else io.BufferedWriter(file),
        encoding=None if before is None else before.encoding,
        errors=_NARROW,
        line_buffering=bool(getattr(before, "line_buffering", True)),
        write_through=is_unbuffered,
    )


def _in_letters_of_all(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_IN_ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
