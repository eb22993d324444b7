"""Found in CI: a scripted model that stopped right after it had accepted somebody left that socket open.

asyncio's server, once closed, refuses a connection whose transport is still to be made, and forgets its socket; the
interpreter told of it in whatever test ran next.
"""

from __future__ import annotations

import gc
import socket
import warnings

from lightfield.local.scripted_model import HOST, ScriptedModel

STOPS, CALLERS = 20, 3  # some 50 of the 60 sockets were left


def test_given_somebody_who_was_accepted_just_now_when_it_stops_then_no_socket_is_left():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(STOPS):
            _stopped_with_callers()
        gc.collect()

    assert [str(one.message) for one in told] == []


def _stopped_with_callers() -> None:
    model = ScriptedModel({"*": [{"text": "Good morning."}]})
    model.start()
    callers = [socket.create_connection((HOST, model.port)) for _ in range(CALLERS)]
    model.stop()
    for caller in callers:
        caller.close()
