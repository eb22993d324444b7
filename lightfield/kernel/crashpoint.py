"""Crash points: the one test hook in production code. Free unless LIGHTFIELD_CRASHPOINTS names a folder.

Who wants a process to die at a named point writes an order into that folder: a file with the point's name that
holds an action, a count and, if only one kind of process is meant, its role:

    kill 1               the process that passes the point next ends with SIGKILL
    stop 3 worker-http   the http worker that passes it for the third time is stopped with SIGSTOP

Passes are counted in each process from the order on. Whoever renames the file away acts, so an order is obeyed
once, by one process; the new name, `CP-S4.<pid>`, tells by whom.

Three places of the walk are not here, since no line of ours runs there: CP-W2, CP-D2 and CP-S6, written but
not committed. A transition is one statement that commits by itself; `tests/chaos/holds.py` stops those inside
the database. docs/chaos.md says what must hold after each.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

FOLDER = os.environ.get("LIGHTFIELD_CRASHPOINTS", "")
ROLE = os.environ.get("LIGHTFIELD_ROLE", "")

POINTS = frozenset(
    {
        "CP-W1",  # webhook: body checked, nothing written
        "CP-W3",  # webhook: committed, not answered
        "CP-W4",  # ringer: the bell is taken out, its message not sent
        "CP-L1",  # record capture: record written, no event
        "CP-L2",  # record capture: events written, not committed
        "CP-L3",  # record capture: committed, no bell rung
        "CP-P1",  # publish: version written and active, trigger not yet following it
        "CP-P2",  # archive: status changed, nothing else
        "CP-D1",  # dispatcher: message taken and flag cleared, no event read
        "CP-D3",  # dispatcher: runs committed, nothing advanced or admitted
        "CP-D4",  # admission: steps queued, no bell rung
        "CP-D5",  # dispatcher: between two batches
        "CP-S1",  # worker: message received, nothing claimed
        "CP-S2",  # worker: claimed, no intent
        "CP-S3",  # worker: intent committed, lease not yet looked at, nothing sent
        "CP-S4",  # worker: request sent, no answer read
        "CP-S5",  # worker: answer known, nothing settled
        "CP-S7",  # worker: settled, no bell rung
        "CP-S8",  # worker: bells rung, message not acknowledged
        "CP-S9",  # worker: next step continued, no intent
        "CP-R1",  # record step: record written, nothing settled, not committed
        "CP-R2",  # record step: committed, no bell rung, the run not gone on
        "CP-A1",  # agent: the model has answered, nothing journaled
        "CP-A2",  # agent: a tool has written and is not committed, or was answered and nothing is journaled
        "CP-N1",  # notices: gathered into a message, not committed
        "CP-N2",  # notices: taken by the receiver, nothing written of it
        "CP-N3",  # notices: workflow paused after failures, not committed
        "CP-T1",  # ticks: trigger locked and due instants computed, nothing written
        "CP-T2",  # ticks: ticks and events committed, no bell rung
        "CP-X1",  # sweeper: expired steps found and stamped, no bell rung
        "CP-X2",  # sweeper: a bell for expired steps rung, others not
    }
)

_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_passes: dict[str, tuple[int, int]] = {}  # point: which order was counted for, passes since
_lock = threading.Lock()


def crashpoint(name: str) -> None:
    """Die or stop here if somebody ordered it; otherwise nothing."""
    if FOLDER:
        _obey(name)


def _obey(name: str) -> None:
    if name not in POINTS:
        raise ValueError(f"{name} is no crash point")
    order = Path(FOLDER, name)
    try:
        written_at = order.stat().st_mtime_ns
        action, count, *roles = order.read_text().split()
    except (OSError, ValueError):
        return  # nothing ordered, or the order is just being taken away
    if roles and ROLE not in roles:
        return
    with _lock:
        counted_for, passes = _passes.get(name, (written_at, 0))
        passes = passes + 1 if counted_for == written_at else 1
        _passes[name] = (written_at, passes)
        if passes < int(count):
            return
        try:
            order.rename(order.with_name(f"{name}.{os.getpid()}"))
        except OSError:
            return  # another process was first
    # To this thread, not to the process: it must not run on while another thread takes the signal.
    signal.pthread_kill(threading.get_ident(), _ACTIONS[action])
