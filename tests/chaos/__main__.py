"""`bin/chaos`: break the system in every way we know while it works, and prove afterwards that nothing is missing.

Everything is started here, in a home of its own: servers, all processes, a sender and a receiver that keep books.
Without options every point is walked, which takes about 18 minutes. See docs/chaos.md.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import threading
import time

from lightfield.local.boot import CannotStart, say
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home
from tests.chaos import agents
from tests.chaos import stack as stacks
from tests.chaos.books import Books
from tests.chaos.matrix import FAULTS
from tests.chaos.outside import Outside
from tests.chaos.pace import own_time
from tests.chaos.points import ACTIONS, ROLE
from tests.chaos.scenario import Scenario
from tests.chaos.sink import Sink
from tests.chaos.stack import Stack

QUICK_POINTS = ("CP-W3", "CP-D3", "CP-D2", "CP-R1", "CP-S3", "CP-S4", "CP-S6")


def main() -> int:
    wanted = _arguments()
    ending.listen(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        stacks.forget_other_settings(with_agents=wanted.with_agents)
        home = Home.of_this_installation().inner("chaos")
        with contextlib.ExitStack() as held:
            held.enter_context(home.exclusively("bin/chaos", patience=5))
            return _play(home, held, wanted)
    except CannotStart as problem:
        say(str(problem))
    except Ended:
        say("interrupted; everything is stopped")
        return 130
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    parser.add_argument("--points", default="", help=f"crash points, comma-separated; all: {', '.join(ROLE)}")
    parser.add_argument(
        "--action", choices=ACTIONS, help="only kill, or only stop for two leases; default both"
    )
    parser.add_argument("--hits", type=int, default=5, help="of each point and action (default 5)")
    parser.add_argument("--matrix", default="", help=f"faults, comma-separated, or all: {', '.join(FAULTS)}")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="of the faults' lengths and numbers: 0.2 makes each a fifth (default 1)",
    )
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="random faults for so long"
    )
    parser.add_argument("--rate", type=float, default=8.0, help="webhooks a second (default 8)")
    parser.add_argument(
        "--patience",
        type=float,
        default=30.0,
        help="seconds for everything to move on after a fault (default 30)",
    )
    parser.add_argument(
        "--reclaim", type=int, metavar="N", help="kill an http worker that holds 20 steps N times"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 32),
        help="draw as the walk did whose report names it (default: a new one)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"kill once at {', '.join(QUICK_POINTS)} only; less than a minute",
    )
    wanted = parser.parse_args()
    names = [name for name in wanted.points.split(",") if name]
    faults = list(FAULTS) if wanted.matrix == "all" else [name for name in wanted.matrix.split(",") if name]
    if wanted.reclaim is not None and "reclaim" not in faults:
        faults.append("reclaim")
    if unknown := [name for name in names if name not in ROLE] + [
        name for name in faults if name not in FAULTS
    ]:
        parser.error(f"unknown: {', '.join(unknown)}")
    is_anything_chosen = names or faults or wanted.soak
    wanted.points = names if is_anything_chosen else list(QUICK_POINTS if wanted.quick else ROLE)
    wanted.matrix = faults
    wanted.with_agents = bool(wanted.soak or set(agents.POINTS).intersection(wanted.points))
    wanted.actions = [wanted.action] if wanted.action else ["kill"] if wanted.quick else list(ACTIONS)
    wanted.hits = 1 if wanted.quick else wanted.hits
    told = [word for word in sys.argv[1:] if not word.startswith("--seed")]
    if "--seed" in sys.argv:
        told.remove(str(wanted.seed))
    wanted.again = " ".join(["bin/chaos", *told, "--seed", str(wanted.seed)])
    return wanted


def _play(home: Home, held: contextlib.ExitStack, wanted: argparse.Namespace) -> int:
    """The main thread keeps the installation running; the scenario has a thread of its own."""
    own_time.start()
    books = Books()
    outside = held.enter_context(Outside())
    sink = Sink(books, seed=wanted.seed)
    outside.run(sink.listen())
    say(f"seed {wanted.seed}; starting everything")
    model = held.enter_context(agents.a_model(wanted.seed, sink.url)) if wanted.with_agents else None
    stack = Stack(home, held, outside, sink, model)
    stack.begin()
    ending.check()
    scenario = Scenario(stack, books, wanted)
    playing = threading.Thread(target=scenario.play, name="scenario", daemon=True)
    playing.start()

    def is_over() -> bool:
        stack.run_errands()
        return not playing.is_alive()

    stack.supervisor.run(until=is_over)
    if playing.is_alive():
        scenario.end()
        give_up = time.monotonic() + 30
        while not is_over() and time.monotonic() < give_up:
            time.sleep(0.1)
    ending.check()
    sys.stdout.write("\n".join([*scenario.told, ""]))
    return 0 if scenario.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
