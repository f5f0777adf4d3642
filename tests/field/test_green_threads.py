"""gevent and eventlet, which put green threads in the place of real ones: told at once, with what to do about it."""

from __future__ import annotations

import pytest
from support.processes import ServerProcess
from support.programs import run_program

from rpcsvc.broker import PrivateBroker

PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all({})",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch({})",
}


@pytest.mark.parametrize("library", PATCHES)
def test_green_threads_are_refused_at_once_with_a_sentence(
    broker: PrivateBroker, server: ServerProcess, library: str
) -> None:
    program = f"""
        {PATCHES[library].format("")}
        import os
        from rpcsvc import OutOfPlace, RpcClient
        try:
            RpcClient(queue=os.environ["QUEUE"])
        except OutOfPlace as error:
            print(error)
    """
    done = run_program(broker, server.queue, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{library} has replaced threads by green ones")
    assert "thread=False" in done.stdout


@pytest.mark.parametrize("library", PATCHES)
def test_with_threads_left_as_they_are_it_works(broker: PrivateBroker, server: ServerProcess, library: str) -> None:
    program = f"""
        {PATCHES[library].format("thread=False")}
        import concurrent.futures, os
        from rpcsvc import RpcClient
        with RpcClient(queue=os.environ["QUEUE"]) as client:
            assert client.call("fib", 30) == 832040
            futures = [client.submit("fib", 30) for _ in range(10)]
            assert not concurrent.futures.wait(futures, 10).not_done
            print(sum(client.map("fib", range(50))))
    """
    done = run_program(broker, server.queue, program)
    assert (done.stdout, done.returncode) == ("20365011073\n", 0), done.stderr


def test_threads_that_are_replaced_later_stop_nothing_that_runs(broker: PrivateBroker, server: ServerProcess) -> None:
    program = """
        import os
        from rpcsvc import RpcClient
        with RpcClient(queue=os.environ["QUEUE"]) as client:
            client.call("fib", 30)
            import warnings; warnings.simplefilter("ignore")
            import gevent.monkey; gevent.monkey.patch_all()
            assert client.call("fib", 30) == 832040
            assert [client.submit("fib", 30).result() for _ in range(10)] == [832040] * 10
        print("done")
    """
    done = run_program(broker, server.queue, program)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
