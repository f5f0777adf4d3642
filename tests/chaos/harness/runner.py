"""One scenario from its first process to its last.

    broker, servers, clients  ->  warm up  ->  measure  ->  faults  ->  calm  ->  no more calls  ->  measure  ->  check

Whatever interrupts it, every process is ended and every temporary folder goes; a run that failed can keep its folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from rpcsvc.broker import PrivateBroker
from rpcsvc.host.keeper import keep_folder

from .checker import Verdict, check
from .cluster import Cluster
from .figures import broken
from .history import read
from .scenario import Scenario
from .stage import Stage

WARM_UP = 1.5
SETTLE = 0.5
"""Seconds after the last call, before what is held is measured."""

HERE = Path(__file__).parent
_PATH = (HERE.parent, HERE.parents[1], HERE.parents[2])

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run.

    Attributes:
        seconds: how long the faults lasted.
        broken: a text for each figure that was not kept, or for what ended the run early.
        folder: where its history is, if that was kept.
    """

    scenario: str
    seconds: float
    verdict: Verdict
    broken: list[str] = field(default_factory=list)
    folder: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether every figure was kept."""
        return not self.broken


def run(
    scenario: Scenario,
    seconds: float,
    broker: PrivateBroker | None = None,
    *,
    keep: bool = False,
    warm_up: float = WARM_UP,
    calm: float | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = lambda _: None,
) -> Result:
    """Run one scenario.

    Args:
        seconds: how long the faults last.
        broker: one that scenarios share, running; those that set it up differently start their own.
        keep: whether the folder of a run that failed is kept.
        warm_up: seconds of load before the faults.
        calm: seconds of load after the faults; by default the scenario's own.
        environ: added to the environment of servers and clients.
        progress: told what is going on.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"rpcsvc-chaos-{scenario.name}-"))
    kept = False
    try:
        with keep_folder(folder), _broker_for(scenario, broker, progress) as mine:
            calm = scenario.calm if calm is None else calm
            early = _perform(scenario, (warm_up, seconds, calm), mine, folder, environ, progress)
        verdict = check(read(folder.glob("*.jsonl")), scenario.all_rules)
        result = Result(scenario.name, seconds, verdict, early + broken(verdict, scenario.figures))
        kept = keep and not result.passed
        return replace(result, folder=folder) if kept else result
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What servers and clients get: the modules of this harness and of the product, before what is there."""
    path = [*map(str, _PATH), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    added = dict(environ)
    first = added.pop("PYTHONPATH", None)
    return {**added, "PYTHONPATH": os.pathsep.join([first, *path] if first else path)}


@contextlib.contextmanager
def private_broker(config: Mapping[str, str] = MappingProxyType({})) -> Iterator[PrivateBroker]:
    """A broker in a temporary folder of its own."""
    with PrivateBroker.temporary(prefix="rpcsvc-chaos-broker-", config=config) as broker:
        yield broker


@contextlib.contextmanager
def _broker_for(
    scenario: Scenario, shared: PrivateBroker | None, progress: Progress
) -> Iterator[PrivateBroker | Cluster]:
    if scenario.cluster:
        progress(f"starting {scenario.cluster} brokers")
        with Cluster(scenario.cluster) as cluster:
            yield cluster
        return
    if shared is not None and not scenario.broker_config:
        try:
            yield shared
        finally:
            shared.start()  # a run that ended early may leave it down
        return
    progress("starting a broker")
    with private_broker(scenario.broker_config) as broker:
        yield broker


def _perform(
    scenario: Scenario,
    times: tuple[float, float, float],
    broker: PrivateBroker | Cluster,
    folder: Path,
    environ: Mapping[str, str],
    progress: Progress,
) -> list[str]:
    """All but the check. What ended it early is given back as text: the runs after it are to go on."""
    warm_up, seconds, calm = times
    try:
        progress("starting servers")
        with Stage(
            broker,
            folder,
            servers=scenario.servers,
            workers=scenario.workers,
            server_options=scenario.server_options,
            networks=scenario.networks,
            url_options=scenario.url_options,
            environ=environment(environ),
            prepare=scenario.prepare,
        ) as stage:
            progress("starting clients")
            crowd = stage.load(scenario.load)
            time.sleep(warm_up)
            crowd.measure("before")
            stage.measure("before")
            progress(f"faults for {seconds:g} s")
            stage.begin(seconds)
            scenario.run(stage)
            progress(f"calm for {calm:g} s")
            time.sleep(calm)
            progress("waiting for the last outcomes")
            crowd.stop()
            time.sleep(SETTLE)
            stage.measure("after")
            progress("stopping")
    except Exception as error:
        (folder / "error.log").write_text(traceback.format_exc())
        return [f"ended early by {type(error).__name__}: {error}"]
    return []
