"""All that one command measures: the load as it was given, then each sweep, on one broker."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .._version import __version__
from ..errors import ConfigurationError, RpcError
from ..settings import usable_cpus
from . import terminal
from .load import Load, Sweep
from .results import BenchResult, RunResult, SweepResult
from .run import check_call, measure
from .stage import BrokerHere, Pool, a_broker, a_pool, a_running_pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The broker and the pool to measure on.

    Attributes:
        url, queue: as they were given, or None.
        serve: workers of a pool of its own; None measures the pool that runs.
        prefetch, registry: of a pool of its own.
    """

    url: str | None
    queue: str | None
    serve: int | None
    prefetch: int
    registry: str

    @contextlib.contextmanager
    def pool(self, broker: BrokerHere, workers: int | None = None) -> Iterator[Pool]:
        """The pool, with its own number of workers or another one."""
        if self.serve is None:
            yield a_running_pool(broker, self.queue)
            return
        with a_pool(
            broker,
            workers=workers or self.serve,
            prefetch=self.prefetch,
            registry=self.registry,
            queue=self.queue,
        ) as pool:
            yield pool


@dataclass(slots=True)
class _Done:
    """The sweeps that are over, and why some have not all their points."""

    sweeps: list[SweepResult] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def bench(load: Load, sweeps: Sequence[Sweep], stage: Stage) -> BenchResult:
    """Measure. Ctrl-C (KeyboardInterrupt) ends it with what there is, once there is something.

    What every sweep is to call is called once before anything is measured. A step of a sweep that fails all the same
    ends that sweep, and nothing that was measured is lost.

    Raises:
        RpcError: it cannot be measured: no broker, no server, no such function, a payload that cannot travel.
    """
    _check(load, sweeps, stage)
    if stage.serve is not None:
        terminal.say("starting the broker, if none answers, and the pool")
    with a_broker(stage.url, may_start=stage.serve is not None) as broker:
        done = _Done()
        # First all on the pool that is there, then those that need others.
        here = [sweep for sweep in sweeps if sweep.name != "workers"]
        with stage.pool(broker) as pool:
            _check_calls(load, here, broker, pool)
            run = _measured(load, broker, pool, "load")
            cut_short = run.interrupted or not all(
                _sweep(sweep, load, broker, lambda _: contextlib.nullcontext(pool), done) for sweep in here
            )
        if not cut_short:
            there = [sweep for sweep in sweeps if sweep.name == "workers"]
            cut_short = not all(
                _sweep(sweep, load, broker, lambda workers: stage.pool(broker, workers), done) for sweep in there
            )
        return BenchResult(_facts(broker), run, tuple(done.sweeps), cut_short, tuple(done.failures))


def _check(load: Load, sweeps: Sequence[Sweep], stage: Stage) -> None:
    names = [sweep.name for sweep in sweeps]
    if len(set(names)) < len(names):
        raise ConfigurationError("each sweep is given once")
    if "workers" in names and stage.serve is None:
        raise ConfigurationError("a sweep of workers needs pools of its own: --serve N")
    if "in-flight" in names and load.is_open:
        raise ConfigurationError("a sweep of in-flight is one of a closed loop: without --rate")


def _check_calls(load: Load, sweeps: Sequence[Sweep], broker: BrokerHere, pool: Pool) -> None:
    loads = [load, *(sweep.applied(load, value) for sweep in sweeps for value in sweep.values)]
    # By what is called: more of the same in flight is the same call.
    for each in {(each.method, each.payload): each for each in loads}.values():
        check_call(dataclasses.replace(each, queue=pool.queue), broker.url)


def _measured(load: Load, broker: BrokerHere, pool: Pool, label: str) -> RunResult:
    load = dataclasses.replace(load, queue=pool.queue)
    with terminal.live_line(load, label) as live:
        return measure(load, broker, pool, live)


def _sweep(
    sweep: Sweep,
    load: Load,
    broker: BrokerHere,
    pool_for: Callable[[int], contextlib.AbstractContextManager[Pool]],
    done: _Done,
) -> bool:
    """Measure each value and add to `done` what came out, and why not all of it; False if it was interrupted."""
    points: list[tuple[int, RunResult]] = []
    try:
        for value in sweep.values:
            with pool_for(value) as pool:
                run = _measured(sweep.applied(load, value), broker, pool, f"{sweep.name} {value:,}")
            if run.interrupted:  # a part of a run is no point of a plot
                return False
            points.append((value, run))
    except KeyboardInterrupt:
        return False
    except RpcError as error:
        done.failures.append(f"{sweep.name}={value}: {error}")
        terminal.say(f"the sweep ends here: {done.failures[-1]}")
    finally:
        if points:
            done.sweeps.append(SweepResult(sweep.name, tuple(points)))
    return True


def _facts(broker: BrokerHere) -> dict[str, str]:
    return {
        "measured": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": f"{usable_cpus()} CPUs, {platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "rpcsvc": __version__,
        "broker": f"{broker.url}{' (private, started for this)' if broker.is_ours else ''}",
    }


def as_json(result: BenchResult) -> str:
    """The file of `--json`."""
    return json.dumps(result.to_json(), indent=1) + "\n"
