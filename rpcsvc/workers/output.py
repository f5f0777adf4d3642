"""What functions print and log, in a worker.

Nothing stays in a buffer: lines go out as they end, and what is left when a worker has nothing to do goes out then.

What is logged goes to standard error, at the level and in the form of the server's own log, unless the registry sets
up logging itself. For that the handler is logging's handler of last resort until the first call: `basicConfig` and the
like, at import or in a `worker_init`, find a root logger without handlers, as in any program.
"""

from __future__ import annotations

import io
import logging
import sys
from dataclasses import dataclass

DEFAULT_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_MESSAGE = "%(message)s"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the log of functions looks.

    Attributes:
        level: logging's number of the lowest level that is shown.
        format: as `logging.Formatter` takes it.
        date_format: likewise; None is logging's own.
    """

    level: int = logging.WARNING
    format: str = DEFAULT_FORMAT
    date_format: str | None = None

    @classmethod
    def of_this_process(cls, package: str = __name__.partition(".")[0]) -> LogSettings:
        """What holds here for the package's own log."""
        level = logging.getLogger(package).getEffectiveLevel()
        for handler in logging.getLogger().handlers:
            form = handler.formatter
            # Another kind of formatter, for JSON say, cannot be handed on by its text.
            if type(form) is logging.Formatter and _MESSAGE in (form._fmt or ""):
                return cls(level, form._fmt or DEFAULT_FORMAT, form.datefmt)
        return cls(level)


class _LastResort(logging.Handler):
    """To standard error, whatever that is when something is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if sys.stderr is not None:
                sys.stderr.write(self.format(record) + "\n")
                sys.stderr.flush()
        except Exception:
            self.handleError(record)


def set_up_logging(settings: LogSettings, who: str) -> None:
    """Have what is logged without any set-up shown, with the name of the process in front."""
    handler = _LastResort()
    form = settings.format.replace(_MESSAGE, f"{who.replace('%', '%%')}: %(name)s: {_MESSAGE}")
    handler.setFormatter(logging.Formatter(form, settings.date_format))
    logging.lastResort = handler
    if not logging.root.handlers:
        logging.root.setLevel(settings.level)


def rename_log(settings: LogSettings, who: str) -> None:
    """The same for a forked process, if nothing else has taken its place."""
    if isinstance(logging.lastResort, _LastResort):
        level = logging.root.level
        set_up_logging(settings, who)
        logging.root.setLevel(level)


def settle_logging() -> None:
    """From now on functions run: if nobody has set up logging so far, this is how it is.

    Else the first `logging.info` of a function would set it up, in Python's own form.
    """
    if isinstance(logging.lastResort, _LastResort) and not logging.root.handlers:
        logging.root.addHandler(logging.lastResort)


def buffer_lines() -> None:
    """Have each line that is printed go out when it ends, whole."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.write_through:
            stream.reconfigure(line_buffering=True)


def flush() -> None:
    """Send on what was printed. Where that fails, it is the function's own concern, which prints again or does not."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 it is done before each wait for a call, and this takes half the time
            stream.flush()
        except Exception:  # noqa: S110 None, closed, broken, full, or of the registry's own making
            pass
