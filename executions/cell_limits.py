"""What a cell may take of the machine it shares with its worker and, often, with PostgreSQL.

A step without measure must end its own cell and nothing else. The kernel refuses memory beyond the limit; where
that is too late because others need the machine's memory too, it ends a cell before anybody else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import threading
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = 75  # exit code
FIRST_TO_GO = "1000"  # the kernel's highest oom_score_adj: raising one's own needs no rights
STACK = 8 << 20  # bytes of address space for each thread, whatever the system's own measure is
STACKS = 24  # a full cell's threads: its 16 steps', and those that keep leases, ring and connect
_is_limited = False


def limit_this_process() -> None:
    """From here on: at most LIGHTFIELD_CELL_MEMORY_MB of heap.

    The kernel counts a thread's whole stack when the thread starts, although hardly any of it is ever used. So
    there is room for a full cell's stacks besides. A step alone in its cell has the main thread's stack, which is
    not counted.
    """
    global _is_limited
    _is_limited = True
    threading.stack_size(STACK)
    with contextlib.suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    wanted = (settings.LIGHTFIELD_CELL_MEMORY_MB << 20) + STACKS * STACK
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    except (OSError, ValueError) as error:  # some systems refuse, e.g. when more is in use already
        logger.warning("cell_memory_not_limited", extra={"error": str(error)})


def kernel_oom_kills() -> int:
    """How many processes the kernel has ended for want of memory, since the machine started; 0 where it does not say.

    Cells are the first to go. Whose fault it was is not known: the rest of the machine has more memory than a cell may take.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def end_cell_if_out_of_memory(error: BaseException) -> None:
    """A cell that was refused memory ends as if the kernel had ended it; in other processes nothing happens.

    After a MemoryError nobody knows what else in the process is broken, and it need not be the greedy step that
    was refused. The cell's end is a loss: a step alone in it is charged, steps together in it are separated.
    """
    if _is_limited and isinstance(error, MemoryError):
        os.write(2, b'{"event": "cell_out_of_memory", "level": "error"}\n')  # logging would need memory
        os._exit(OUT_OF_MEMORY)
