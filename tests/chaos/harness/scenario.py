"""What a scenario is, and where the scenarios are found: in every module of the package `scenarios`.

    @scenario("kill-workers", "SIGKILL of a random worker each second", allowed={"WorkerLost"})
    def kill_workers(stage: Stage) -> None:
        for _ in stage.every(1.0):
            with stage.fault("a worker is killed"):
                stage.strike(signal.SIGKILL)

The function injects faults, and cures each before it returns, soon after `stage.remaining` is 0. The load runs from
before it begins until some seconds after it has returned.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from .checker import Rules
from .figures import Figures
from .functions import NATURAL
from .load import Load
from .stage import Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """Faults, what they are done to, and what must hold all the same.

    Attributes:
        name: as the command line has it.
        says: one sentence.
        run: does it.
        prepare: what is done to the broker before the first server starts.
        servers, workers: how many servers, and workers of each.
        server_options: further options of `rpcsvc serve`.
        load: what the clients do.
        networks: whether servers and clients reach the broker through proxies.
        url_options: added to the broker's URL, such as "?heartbeat=2".
        cluster: how many nodes the broker has; with more than none it is a cluster of the run's own.
        broker_config: lines of rabbitmq.conf; with any the broker is the run's own.
        allowed: outcomes beside success that any call may have.
        rules: further rules for the checker; `allowed` and poison's natural outcomes are added.
        figures: what the verdict must keep to.
        short: seconds of its short version.
        calm: seconds of load after the last cure.
    """

    name: str
    says: str
    run: Callable[[Stage], None]
    prepare: Callable[[Stage], None] | None = None
    servers: int = 1
    workers: int = 4
    server_options: tuple[str, ...] = ()
    load: Load = field(default_factory=Load)
    networks: bool = False
    url_options: str = ""
    cluster: int = 0
    broker_config: Mapping[str, str] = field(default_factory=dict)
    allowed: Collection[str] = ()
    rules: Rules = field(default_factory=Rules)
    figures: Figures = field(default_factory=Figures)
    short: float = 3.0
    calm: float = 5.0

    @property
    def all_rules(self) -> Rules:
        """The rules for the checker."""
        rules = self.rules
        return replace(rules, allowed=rules.allowed | frozenset(self.allowed), natural={**NATURAL, **rules.natural})

    def stretched(self, factor: float) -> Scenario:
        """The same where anything may take so many times as long: a machine that is busy with other tests."""
        rules, figures = self.rules, self.figures
        return replace(
            self,
            rules=replace(
                rules,
                start_slack=rules.start_slack * factor,
                late_slack=rules.late_slack * factor,
                stop_slack=None if rules.stop_slack is None else rules.stop_slack * factor,
                aftermath=None if rules.aftermath is None else rules.aftermath * factor,
            ),
            figures=replace(
                figures,
                recovery=None if figures.recovery is None else figures.recovery * factor,
                refill=None if figures.refill is None else figures.refill * factor,
            ),
        )


_scenarios: dict[str, Scenario] = {}


def scenario(name: str, says: str, **options: object) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Make a scenario of a function; the options are the fields of `Scenario`."""

    def register(run: Callable[[Stage], None]) -> Callable[[Stage], None]:
        assert name not in _scenarios, name
        _scenarios[name] = Scenario(name, says, run, **options)  # type: ignore[arg-type]
        return run

    return register


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by its name; the one without a fault first, the others by module and place."""
    from . import scenarios  # noqa: PLC0415 its modules import this one

    for module in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda found: found.name):
        importlib.import_module(f"{scenarios.__name__}.{module.name}")
    return dict(sorted(_scenarios.items(), key=lambda item: item[0] != "none"))
