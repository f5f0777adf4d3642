"""A client process: one RpcClient, and the generator threads that use it.

    standard input    the plan, one line of JSON;  then the start, another;  its end means: stop now
    standard output   {"ready": …};  {"ended": n, "badly": n} several times a second;  {"tallies": […]}

The broker's URL comes in RPCSVC_URL, because an argument can be seen by everybody. Times are on the monotonic clock,
which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

from ..client.sync import RpcClient
from ..errors import RpcError
from ..settings.client import DEFAULT_MAX_IN_FLIGHT
from .generator import generate
from .load import Load
from .tally import Tally, Window

_TELL_EVERY = 0.2


def main() -> None:
    """Run one client process, from its plan to its tally."""
    plan = json.loads(sys.stdin.buffer.readline())
    load = Load(**plan["load"])
    try:
        # What is to be under way must not wait for room in the client.
        room = max(DEFAULT_MAX_IN_FLIGHT, load.threads * load.most_under_way)
        with RpcClient(queue=load.queue, timeout=load.timeout, max_in_flight=room, pack=load.pack) as client:
            _tell(ready=os.getpid())
            start = json.loads(sys.stdin.buffer.readline() or b"null")
            if start is not None:
                stop = threading.Event()
                _tell(tallies=_run(client, load, plan["number"], float(start["begin"]), stop))
                stop.wait()  # whoever looks at this process's CPU and memory still wants to
    except RpcError as error:
        _tell(error=str(error))


def _run(client: RpcClient, load: Load, number: int, begin: float, stop: threading.Event) -> list[dict[str, Any]]:
    window = Window.after(begin, load.warm_up, load.duration)
    tallies = [Tally(window) for _ in range(load.threads)]
    threads = [
        threading.Thread(
            target=generate,
            args=(client, load, number * load.threads + own, tally, stop),
            name=f"load-{own}",
            daemon=True,
        )
        for own, tally in enumerate(tallies)
    ]
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    time.sleep(max(0.0, begin - time.monotonic()))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stop.wait(_TELL_EVERY):
        _tell(ended=sum(tally.ended for tally in tallies), badly=sum(tally.ended_badly for tally in tallies))
    if stop.is_set():
        client.close()  # ends every call under way
    for thread in threads:
        thread.join()
    return [tally.to_json() for tally in tallies]


def _stop_at_end_of_input(stop: threading.Event) -> None:
    # Not through sys.stdin: its lock would be held here when the process ends.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    stop.set()


def _tell(**what: Any) -> None:
    data = json.dumps(what).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
