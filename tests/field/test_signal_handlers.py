"""A signal handler uses the client while the thread that it interrupts does: at any instruction, thousands of times."""

from __future__ import annotations

import pytest
from support.processes import ServerProcess
from support.programs import run_program

from rpcsvc.broker import PrivateBroker

PROGRAM = """
    import concurrent.futures, faulthandler, itertools, os, random, signal, sys, time
    from rpcsvc import ClientClosed, RpcClient

    SIGNALS, LAST = 3000, time.monotonic() + 60
    faulthandler.dump_traceback_later(75, exit=True)
    client = RpcClient(queue=os.environ["QUEUE"], timeout=20, max_in_flight=40)
    client.call("echo", 0)
    seen, of_handlers, shared = itertools.count(1), [], []
    random.seed(7)

    def handler(number, frame):
        count = next(seen)
        match random.choice({ways!r}):
            case "submit":
                of_handlers.append((count, client.submit("echo", count)))
            case "call":
                assert client.call("echo", count) == count
            case "result":
                future = client.submit("echo", count)
                assert future.result() == count
            case "cancel":
                if shared:
                    random.choice(shared).cancel()
            case "cancel own":
                client.submit("nap", 0.01).cancel()
            case "wait":
                future = client.submit("echo", count)
                assert concurrent.futures.wait([future], 10).done
            case "look":
                client.pending, repr(client), client.callback_queue, client.dropped_replies
                for future in shared:
                    future.done(), future.cancelled(), repr(future)
            case "map":
                assert list(client.map("echo", range(3))) == [0, 1, 2]
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    calls = 0
    while next(seen) < SIGNALS and time.monotonic() < LAST:
        calls += 1
        assert client.call("echo", calls) == calls
        shared[:] = [client.submit("echo", number) for number in range(8)]
        for number, future in enumerate(shared):
            try:
                assert future.result() == number
            except concurrent.futures.CancelledError:
                pass
        shared[:] = [client.submit("echo", number) for number in range(8)]
        for future in concurrent.futures.as_completed(shared):
            assert future.cancelled() or future.result() in range(8)
        shared[:] = [client.submit("echo", number) for number in range(8)]
        assert not concurrent.futures.wait(shared, 10).not_done
        shared[:] = [client.submit("echo", 1)]
        shared[0].add_done_callback(lambda _: None)
        shared[0].cancel()
        assert list(client.map("echo", range(5))) == list(range(5))
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # first: a handler that runs now would start the timer again
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert next(seen) > 300, "too few to mean anything"
    for number, future in of_handlers:
        assert future.result() == number
    while client.pending and time.monotonic() < LAST + 10:  # what was cancelled last is let go by another thread
        time.sleep(0.01)
    assert client.pending == 0
    for _ in range(40):  # no place was lost
        shared.append(client.submit("echo", 1))
    assert client.call("echo", 2) == 2
    client.close()
    print("done")
"""


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param(["submit", "call", "result", "cancel", "cancel own", "look", "wait", "map"], id="all"),
        pytest.param(["submit"], id="submit", marks=pytest.mark.long),
        pytest.param(["call"], id="call", marks=pytest.mark.long),
        pytest.param(["cancel", "cancel own", "look"], id="cancel", marks=pytest.mark.long),
    ],
)
def test_a_handler_may_use_the_client_at_any_moment(
    broker: PrivateBroker, server: ServerProcess, ways: list[str]
) -> None:
    done = run_program(broker, server.queue, PROGRAM.replace("{ways!r}", repr(ways)), within=100)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_a_handler_may_close_the_client_at_any_moment(broker: PrivateBroker, server: ServerProcess) -> None:
    program = """
        import concurrent.futures, faulthandler, os, random, signal
        from rpcsvc import ClientClosed, RpcClient
        faulthandler.dump_traceback_later(60, exit=True)
        random.seed(7)
        signal.signal(signal.SIGALRM, lambda *_: client.close())
        for _ in range(60):
            client = RpcClient(queue=os.environ["QUEUE"])
            client.call("echo", 0)
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 0.01))
            try:
                while True:
                    client.call("echo", 1)
                    futures = [client.submit("echo", number) for number in range(8)]
                    concurrent.futures.wait(futures)
                    list(concurrent.futures.as_completed(futures))
                    [future.result() for future in futures]
                    with client.map("echo", range(5)) as results:
                        list(results)
            except ClientClosed:
                pass
            client.close()
        print("done")
    """
    done = run_program(broker, server.queue, program, within=90)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_a_handler_may_be_the_first_to_use_a_client_after_a_fork(broker: PrivateBroker, server: ServerProcess) -> None:
    program = """
        import faulthandler, os, random, signal
        from rpcsvc import RpcClient
        random.seed(7)
        client = RpcClient(queue=os.environ["QUEUE"])
        for _ in range(20):
            child = os.fork()
            if child == 0:
                faulthandler.dump_traceback_later(40, exit=True)
                seen = []
                signal.signal(signal.SIGALRM, lambda *_: seen.append(client.call("echo", 7)))
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1e-3))
                assert client.call("echo", 1) == 1
                while not seen:
                    signal.pause()
                assert client.call("echo", 1) == 1
                client.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        client.close()
        print("done")
    """
    done = run_program(broker, server.queue, program, within=90)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
