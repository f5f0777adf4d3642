"""Which signals stop a program of ours."""

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
