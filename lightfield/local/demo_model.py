"""Who answers the agent of `bin/demo`: the model that LIGHTFIELD_AI_* name, or a script that stands in for one.

The script has the demo's task by heart: what it needs it finds in the prompt and in what its tools told it. It answers the third
question only to whoever asks it twice, so that there is a moment in which to kill the worker that waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lightfield.local import environment, ports, scripted_model
from lightfield.local.boot import ROOT, say
from lightfield.local.calls import Api
from lightfield.local.children import spawn, stop
from lightfield.local.home import Home

GIVEN = ("LIGHTFIELD_AI_BASE_URL", "LIGHTFIELD_AI_MODEL", "LIGHTFIELD_AI_API_KEY", "LIGHTFIELD_AI_PRICES")
NAME = "scripted"
HELD_TURN = 3
EMAIL, WEBSITE, COMPANY = (
    {"$find": pattern} for pattern in (r'"email":"([^"]+)"', r'"website":"([^"]+)"', r'"company":"([^"]+)"')
)


def _sought(entity: str, name: str, value: Any) -> dict[str, Any]:
    filters = [{"field": name, "operator": "is", "value": value}]
    return {"name": "find_records", "arguments": {"entity": entity, "filters": filters}}


def _upserted(entity: str, match: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": "upsert_record", "arguments": {"entity": entity, "match": match, "fields": fields}}


ACCOUNT = {"$result": "3.id"}
# What it answers, turn by turn; see `scripted_model`.
SCRIPT: list[dict[str, Any]] = [
    {
        "calls": [_sought("contact", "email", EMAIL), _sought("account", "website", WEBSITE)],
        "usage": {"input": 1480, "output": 62},
    },
    {
        "calls": [_upserted("account", {"website": WEBSITE}, {"name": COMPANY})],
        "usage": {"input": 1630, "output": 41},
    },
    {
        "calls": [
            _upserted(
                "contact",
                {"email": EMAIL},
                {
                    "first_name": {"$find": r'"name":"([^" ]+)'},
                    "last_name": {"$find": r'"name":"[^" ]+ ([^"]+)"'},
                    "account": ACCOUNT,
                    "custom.plan": {"$find": r'"plan":"([^"]+)"'},
                },
            ),
            _upserted(
                "opportunity",
                {"account": ACCOUNT, "name": COMPANY},
                {"stage": "won", "amount": {"$find": r'"amount_total":(\d+)\d\d'}},
            ),
        ],
        "usage": {"input": 1810, "output": 97},
    },
    {
        "calls": [
            {
                "name": "final_output",
                "arguments": {
                    "account_id": ACCOUNT,
                    "contact_id": {"$result": "4.id"},
                    "opportunity_id": {"$result": "5.id"},
                    "plan": {"$find": r'"plan":"([^"]+)"'},
                },
            }
        ],
        "usage": {"input": 2240, "output": 73},
    },
]


@dataclass(frozen=True)
class Model:
    """`settings` go to the installation, `may_be_asked` into what its steps may reach. `desk`: the stand-in, to be asked what it was asked."""

    words: str
    settings: dict[str, str] = field(default_factory=dict)
    may_be_asked: str = ""
    desk: Api | None = None

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What the stand-in was asked so far: turn, key, status (null: not answered)."""
        return list(self.desk.get("/seen")) if self.desk else []

    def is_thinking(self, turns: int) -> bool:
        """Whether it holds a question open in the middle of the conversation, of which `turns` stand in the journal."""
        if self.desk is None:
            return turns >= 2  # of answers and calls: it is asked the next thing, or does it
        return any(one["turn"] == HELD_TURN and one["status"] is None for one in self.asked)


def chosen(home: Home, held: contextlib.ExitStack) -> Model:
    """The model that LIGHTFIELD_AI_MODEL names, else a stand-in, which is started. To be called before other settings are forgotten."""
    if name := os.environ.get("LIGHTFIELD_AI_MODEL", "").strip():
        say(f"the agent's model is {name}, as LIGHTFIELD_AI_MODEL says")
        return Model(
            f"the model {name}", may_be_asked=_endpoint(os.environ.get("LIGHTFIELD_AI_BASE_URL", ""))
        )
    for given in GIVEN:
        os.environ.pop(given, None)
    say("no LIGHTFIELD_AI_MODEL is set: a script stands in for the agent's model")
    endpoint = f"{scripted_model.HOST}:{_start(home, held)}"
    settings = {"LIGHTFIELD_AI_MODEL": NAME, "LIGHTFIELD_AI_BASE_URL": f"http://{endpoint}/v1"}
    return Model("a script that stands in for a model", settings, endpoint, Api(f"http://{endpoint}"))


def _start(home: Home, held: contextlib.ExitStack) -> int:
    port = ports.any_free(scripted_model.HOST)
    script = [*SCRIPT]
    script[HELD_TURN - 1] = {**script[HELD_TURN - 1], "first": [{"hangs": True}]}
    path = home.folder("run") / "scripts.json"
    path.write_text(json.dumps({NAME: script}))
    child = spawn(
        [sys.executable, "-m", scripted_model.__name__, str(port), path],
        cwd=ROOT,
        environ=environment.basis(home),
        output=home.open_log("scripted_model"),
        when_parent_dies=signal.SIGKILL,
    )
    held.callback(stop, [(child, signal.SIGTERM)], grace=2)
    return port


def _endpoint(base_url: str) -> str:
    """The host and port of a URL, for models on this machine or in this network."""
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # the installation says what is wrong with it
        return ""
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""
