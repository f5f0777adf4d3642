"""Which signals stop a program of ours, and what is said of a process that one has ended."""

from __future__ import annotations

import signal


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, and SIGINT unless it was ignored when this process was started.

    A shell has its background processes ignore SIGINT, so that Ctrl-C is for what runs in front (POSIX, Shell Command
    Language, section 2.11). Python leaves that as it is, and so do we. SIGTERM is meant for the one it is sent to.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGINT)


def describe_exit(exit_code: int | None, signal_number: int | None) -> str:
    """How a process ended, in words: "by SIGKILL" or "with exit code 3"."""
    if signal_number is not None:
        try:
            return f"by {signal.Signals(signal_number).name}"
        except ValueError:
            return f"by signal {signal_number}"
    if exit_code is not None:
        return f"with exit code {exit_code}"
    return "for a reason that is not known"
