"""What a person may choose, and the sizes that follow from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Options:
    """Sizes of the measurements; times in seconds."""

    names: tuple[str, ...] = ()
    rounds: int | None = None  # None: each bench's own number
    events: int = 2000  # of throughput, memory and growth
    warm: int = 50  # runs before anything is measured
    rate: float | None = None  # webhooks a second of steady
    steps: int | None = None  # requests in each of its runs
    minutes: float | None = None  # of its sending
    latency_seconds: float = 30
    quiet_seconds: float = 30  # of fast runs alone, before something slow or large is put beside them
    slow: int = 500  # steps of responsiveness
    slow_ms: int = 10_000
    flood: int = 20_000  # events of fairness
    flood_seconds: float = 120
    calm_seconds: float = 20  # before idle is measured
    idle_seconds: float = 120
    history: int = 1_000_000  # finished runs of growth
    webhooks_seconds: float = 20  # of the open loop of webhooks
    signed_seconds: float = 60  # of signed webhooks in senders, and of each of its other phases
    beside_seconds: float = 15
    slow_senders: int = 200
    outage_runs: int = 1000
    outage_seconds: float = 120
    agents: int = 60  # at once, and how long the model of each takes in all
    agent_seconds: float = 60
    pairs: int = 50  # of blocks in capture, and how many saves are in a block
    saves: int = 40
    flush_seconds: float = 11  # until PostgreSQL's counters are exact
    settings: dict[str, str] = field(default_factory=dict)  # of the installation, by environment variable
    statements: bool = False
    is_quick: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


QUICK: dict[str, Any] = {
    "rounds": 1,
    "events": 60,
    "warm": 5,
    "rate": 5.0,
    "steps": 1,
    "minutes": 0.1,
    "latency_seconds": 5,
    "quiet_seconds": 3,
    "slow": 12,
    "slow_ms": 2000,
    "flood": 100,
    "flood_seconds": 5,
    "calm_seconds": 2,
    "idle_seconds": 5,
    "history": 2000,
    "webhooks_seconds": 2,
    "signed_seconds": 2,
    "beside_seconds": 2,
    "slow_senders": 20,
    "outage_runs": 60,
    "outage_seconds": 8,
    "agents": 6,
    "agent_seconds": 2,
    "pairs": 2,
    "saves": 3,
    "flush_seconds": 2,
}


def read(
    arguments: Sequence[str], *, known: Sequence[str], usual: Sequence[str], listing: str
) -> Options | None:
    """The options of a command line; None when only the list was asked for, which is then printed.

    Raises:
        SystemExit: with 2 for what is no option, name or number; with 0 for --help.
    """
    parser = _parser(known, usual)
    given = parser.parse_args(arguments)
    if given.list:
        print(listing)
        return None
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    options = Options(**QUICK) if given.quick else Options()
    chosen = {
        name: value
        for name, value in vars(given).items()
        if name
        in (
            "rounds",
            "events",
            "slow",
            "flood",
            "history",
            "rate",
            "steps",
            "minutes",
            "outage_runs",
            "outage_seconds",
            "agents",
            "agent_seconds",
        )
        and value is not None
    }
    if wrong := [name for name, value in chosen.items() if value <= 0]:
        parser.error(f"--{wrong[0]} must be more than 0")
    settings = dict(given.set)
    return replace(
        options,
        **chosen,
        names=tuple(dict.fromkeys(given.names or usual)),
        settings=settings,
        statements=given.statements,
        is_quick=given.quick,
    )


def _parser(known: Sequence[str], usual: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/bench",
        description="Measure Lightfield on an installation of its own; see benchmarks/README.md.",
        epilog="Exit code 0: everything was measured on a calm machine, and nothing was lost or doubled.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; without: {' '.join(usual)}"
    )
    parser.add_argument("--list", action="store_true", help="say what each measures, and end")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it works; figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, help="of each bench (default: 3 against the baseline, else 1)")
    parser.add_argument(
        "--events", type=int, help="webhooks of throughput, memory, webhooks, growth (default 2000)"
    )
    parser.add_argument("--slow", type=int, help="slow steps of responsiveness (default 500)")
    parser.add_argument("--flood", type=int, help="events of fairness (default 20000)")
    parser.add_argument("--history", type=int, help="finished runs of growth (default 1000000)")
    parser.add_argument("--rate", type=float, help="webhooks a second of steady (default 35)")
    parser.add_argument("--steps", type=int, help="requests in each run of steady (default 1)")
    parser.add_argument("--outage-runs", type=int, help="runs of outage (default 1000)")
    parser.add_argument("--outage-seconds", type=float, help="for which its host answers 503 (default 120)")
    parser.add_argument("--agents", type=int, help="of agents, at once (default 60)")
    parser.add_argument(
        "--seconds", dest="agent_seconds", type=float, help="that the model of each takes (default 60)"
    )
    parser.add_argument("--minutes", type=float, help="of sending in steady (default 10)")
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the installation that is measured, e.g. LIGHTFIELD_HTTP_WORKERS=2",
    )
    parser.add_argument(
        "--statements",
        action="store_true",
        help="count PostgreSQL's statements in throughput, and keep the costliest; costs a little itself",
    )
    return parser


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("LIGHTFIELD_"):
        raise argparse.ArgumentTypeError(f"{text!r} is not LIGHTFIELD_…=value")
    return name, value
