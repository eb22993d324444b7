"""The baseline running: gunicorn, a Celery worker and a Valkey of its own for `benchmarks/naive.py`."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

from benchmarks import counters, load, waiting
from benchmarks.far_end import HOST, Account, FarEnd
from benchmarks.load import Reply
from benchmarks.systems import Ends, System, begin_anew, bodies, refused
from lightfield.local import environment, ports
from lightfield.local.boot import ROOT
from lightfield.local.children import spawn, stop
from lightfield.local.home import Home
from lightfield.local.servers import Servers

START_SECONDS = 60.0
COMMANDS = {
    "web": "gunicorn benchmarks.naive --workers 2 --threads 4 --bind {address} --log-level error",
    "worker": "celery -A benchmarks.naive worker --pool prefork -c 2 --loglevel error",
}


class Baseline(System):
    """The naive chain. Its runs end with the sink's last answer: it keeps nothing that could tell more."""

    name = "naive"

    def __init__(self, sink: FarEnd, *, address: str, roots: list[int], redis_url: str) -> None:
        super().__init__(sink)
        self.address, self.roots, self.redis_url = address, roots, redis_url

    def hook(self, steps: int) -> str:  # noqa: ARG002  the webhook's body says how many
        return f"http://{self.address}/hook"

    def ends_of(self, replies: list[Reply], account: Account) -> Ends:
        return Ends(account.answered_at, refused(replies))

    def counts(self) -> counters.Counts:
        return counters.Counts(counters.of_valkey(self.redis_url))


@contextlib.contextmanager
def running(home: Home, sink: FarEnd) -> Iterator[Baseline]:
    """The naive chain, until the block ends."""
    begin_anew(home)
    with contextlib.ExitStack() as held:
        servers = held.enter_context(Servers(home, postgres=False))
        address = f"{HOST}:{ports.any_free(HOST)}"
        environ = {**environment.basis(home), **servers.urls, "SINK_URL": sink.url()}
        pids = [one.child.pid for one in servers.running if one.child]
        for name, command in COMMANDS.items():
            child = spawn(
                [sys.executable, "-m", *command.format(address=address).split()],
                cwd=ROOT,
                environ=environ,
                output=home.open_log(name),
                when_parent_dies=signal.SIGTERM,
            )
            held.callback(stop, [(child, signal.SIGTERM)], grace=20)
            pids.append(child.pid)
        baseline = Baseline(sink, address=address, roots=pids, redis_url=servers.urls["REDIS_URL"])
        _wait_until_it_answers(baseline)
        yield baseline


def _wait_until_it_answers(baseline: Baseline) -> None:
    def is_accepted() -> bool:
        return load.run(load.Sender(baseline.hook(1)).send(next(bodies(1)))).status == 202

    waiting.until("the baseline's web", is_accepted, seconds=START_SECONDS, every=0.2)
    waiting.until("the baseline's worker", lambda: baseline.sink.count() >= 1, seconds=START_SECONDS)
    baseline.sink.forget()
