"""Record capture: what a save of a watched model costs, as a ratio to the same save of a twin that nobody watches.

`benchmarks/saves.py` saves, in two kinds of processes: one with the session of our web processes, and one of somebody
else's Django with PostgreSQL's defaults. No worker runs, so that nothing disturbs: events pile up and are thrown away.
Valkey does run, since a matched save rings.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import validity
from benchmarks.figures import Bar, Line, Round, Values, at_most
from benchmarks.stage import Bench, Stage
from benchmarks.systems import begin_anew
from lightfield.local import environment
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.home import Home
from lightfield.local.servers import Servers

# The environment's name here, and the role that makes settings.py choose its session.
KINDS = {"web": "web", "foreign": "command"}
MATCHED, UNMATCHED, TRIGGER, NOTHING = at_most(2.8), at_most(2.2), at_most(1.3), at_most(1.04)
MODES = ("orm", "trigger")  # of LIGHTFIELD_CAPTURE
# What `saves` measures: its name, what to call it, the bar of its ratio and of its extra statements.
SAVES: dict[str, tuple[str, Bar, int]] = {
    "matched": ("update, matched", MATCHED, 2),
    "unmatched": ("update, unmatched", UNMATCHED, 1),
    "created_matched": ("create, matched", MATCHED, 1),
    "created_unmatched": ("create, unmatched", UNMATCHED, 1),
    "unheard": ("update, nobody listens", UNMATCHED, 1),
    "created_unheard": ("create, nobody listens", UNMATCHED, 1),
    "plain_matched": ("bare save(), update, matched", MATCHED, 2),
    "plain_created_matched": ("bare create(), matched", MATCHED, 1),
    "trigger_plain_matched": ("trigger: bare save(), update, matched", TRIGGER, 0),
    "trigger_plain_created_matched": ("trigger: bare create(), matched", TRIGGER, 0),
    "trigger_matched": ("trigger: update, matched", TRIGGER, 0),
    "trigger_unmatched": ("trigger: update, unmatched", TRIGGER, 0),
    "trigger_created_matched": ("trigger: create, matched", TRIGGER, 0),
    "trigger_created_unmatched": ("trigger: create, unmatched", TRIGGER, 0),
    "trigger_unheard": ("trigger: update, nobody listens", TRIGGER, 0),
    "unwatched_save": ("unwatched: save", NOTHING, 0),
    "unwatched_create": ("unwatched: create", NOTHING, 0),
    "unwatched_update": ("unwatched: QuerySet.update", NOTHING, 0),
    "unwatched_bulk_create": ("unwatched: bulk_create", NOTHING, 0),
}
LINES = (
    *[
        Line(f"{kind}_{name}_ratio", f"{kind}, {label}: x", 2, bar)
        for kind in KINDS
        for name, (label, bar, _) in SAVES.items()
    ],
    *[
        Line(f"web_{name}_cpu_ratio", f"web, {label}: x of CPU", 2)
        for name, (label, _, _) in SAVES.items()
        if "matched" in name
    ],
    *[
        Line(f"web_{name}_statements", f"{label}: statements more", 0, at_most(most))
        for name, (label, _, most) in SAVES.items()
    ],
    *[Line(f"{kind}_matched_twin_ms", f"{kind}, the twin's update: ms", 3) for kind in KINDS],
    Line("cores_of_others", "cores used by others", 2),
)


def play(stage: Stage) -> Round:
    played = Round()
    with _installation(stage.home.inner("capture")) as environ:
        meter = validity.Meter([os.getpid()], None)
        figures: Values = {}
        for kind, role in KINDS.items():
            for mode in MODES:
                say(f"saving as {'a web process' if kind == 'web' else 'another Django'}, {mode}")
                of_process = {**environ, "LIGHTFIELD_ROLE": role, "LIGHTFIELD_CAPTURE": mode}
                measured = _saves(of_process, stage.options.pairs, stage.options.saves)
                figures |= {f"{kind}_{name}": value for name, value in measured.items()}
        others = meter.read().cores_of_others
    played.add("lightfield", figures | {"cores_of_others": others}, [], validity.of_machine(others))
    return played


@contextlib.contextmanager
def _installation(home: Home) -> Iterator[dict[str, str]]:
    """The environment of an installation's servers, with empty tables and no processes beside them."""
    begin_anew(home)
    with home.exclusively("bin/bench"), Servers(home) as servers:
        environ = {**environment.basis(home), **environment.keys(home), **servers.urls}
        _run(["manage.py", "migrate", "--verbosity=0"], {**environ, "LIGHTFIELD_ROLE": "command"})
        yield environ


def _saves(environ: dict[str, str], pairs: int, saves: int) -> Values:
    said = _run(["-m", "benchmarks.saves", str(pairs), str(saves)], environ)
    found: Values = json.loads(said)
    return found


def _run(arguments: list[str], environ: dict[str, Any]) -> str:
    """Raises: CannotStart: it failed; the message has the end of what it said."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CannotStart(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


BENCH = Bench(
    "capture", "a save of a watched model against the same save of one that nobody watches", 3, LINES, play
)
