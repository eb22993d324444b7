"""The honest outside: a sender that repeats what was not acknowledged, and a person who cancels and replays."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

from lightfield.local.boot import CannotStart
from lightfield.local.calls import Api
from tests.chaos.books import Answer, Books, Delivery
from tests.chaos.workload import WEIGHTS, draw

PATIENCE = 12.0  # seconds for one answer; senders of webhooks wait 3 to 15
PAUSES = (0.2, 0.5, 1.0)  # between the tries of one delivery; the last again and again
THREADS = 400  # of deliveries that wait for an answer or for their next try: 20 s of 20 webhooks a second


class Sender:
    """Sends `rate` webhooks a second from a thread of its own, each until it is acknowledged."""

    def __init__(self, books: Books, base: str, addresses: dict[str, str], *, seed: int, rate: float) -> None:
        self.books = books
        self.addresses = addresses
        self.rate = rate
        self._host = urlsplit(base).netloc
        self._drawn = random.Random(f"{seed}:deliveries")
        self._prefix = f"chaos-{seed}-{time.time_ns():x}"
        self._number = 0
        self._numbering = threading.Lock()
        self._is_over = threading.Event()
        self._gives_up = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sender")
        self._pacing = threading.Thread(
            target=self._pace,
            args=(lambda: self.rate, lambda: draw(self._drawn, self.addresses), self._is_over),
            name="pace",
            daemon=True,
        )

    def start(self) -> None:
        self._pacing.start()

    def finish(self, seconds: float) -> bool:
        """Begin nothing new and wait until everything begun is acknowledged. False: some never was."""
        self._is_over.set()
        self._pacing.join(5)
        late = threading.Timer(seconds, self._gives_up.set)
        late.start()
        self._pool.shutdown(wait=True)
        late.cancel()
        return not self._gives_up.is_set()

    def abandon(self) -> None:
        """Whatever is not acknowledged never will be: nobody is there any more."""
        self._is_over.set()
        self._gives_up.set()

    def burst(self, workflow: str, number: int) -> list[Delivery]:
        """So many at once, besides the usual."""
        return [self._send(workflow) for _ in range(number)]

    @contextmanager
    def at_rate(self, rate: float) -> Iterator[None]:
        """The usual mixture, so many a second."""
        before, self.rate = self.rate, rate
        try:
            yield
        finally:
            self.rate = before

    @contextmanager
    def besides(self, workflow: str, rate: float) -> Iterator[None]:
        """So many of one workflow a second, besides the usual."""
        is_over = threading.Event()
        pacing = threading.Thread(
            target=self._pace,
            args=(lambda: rate, lambda: workflow, is_over),
            name="pace-besides",
            daemon=True,
        )
        pacing.start()
        try:
            yield
        finally:
            is_over.set()
            pacing.join(5)

    def _pace(self, rate: Callable[[], float], choose: Callable[[], str], is_over: threading.Event) -> None:
        due = time.monotonic()
        while not is_over.wait(max(0.0, due - time.monotonic())) and not self._is_over.is_set():
            due = max(due + 1 / rate(), time.monotonic() - 1.0)  # after a standstill, no flood
            self._send(choose())

    def _send(self, workflow: str) -> Delivery:
        with self._numbering:
            self._number += 1
            number = self._number
        delivery = Delivery(number, f"{self._prefix}-{number}", workflow)
        self.books.begin(delivery)
        self._pool.submit(self._deliver, delivery)
        return delivery

    def _deliver(self, delivery: Delivery) -> None:
        delivery.began_at = time.time()
        tries = 0
        while not self._gives_up.is_set():
            answer = self._post(delivery)
            delivery.answers.append(answer)
            if answer.is_acknowledged:
                return
            self._gives_up.wait(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    def _post(self, delivery: Delivery) -> Answer:
        body = json.dumps({"number": delivery.number, "third": delivery.number % 3})
        headers = {"Content-Type": "application/json", "Idempotency-Key": delivery.key}
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE)
        started, at = time.monotonic(), time.time()
        try:
            connection.request("POST", urlsplit(self.addresses[delivery.workflow]).path, body, headers)
            response = connection.getresponse()
            said = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return Answer(at, time.monotonic() - started, None)
        finally:
            connection.close()
        seconds = time.monotonic() - started
        return Answer(at, seconds, response.status, said.get("event_id"), bool(said.get("duplicate")))


class Operator:
    """Cancels runs at any point of their lives and replays what failed or was cancelled."""

    EVERY = 0.5  # seconds

    def __init__(self, books: Books, api: Api, *, seed: int) -> None:
        self.books = books
        self.api = api
        self._drawn = random.Random(f"{seed}:operator")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="operator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._is_over.set()
        self._thread.join(60)

    def try_to(self, verb: str, run_id: str) -> None:
        """`cancel` or `replay` one run; refused or unanswered is all the same here."""
        try:
            self.api.post(f"/api/v1/runs/{run_id}/{verb}")
            self.books.count(f"{verb}s")
        except CannotStart:
            self.books.count("calls in vain")

    def _work(self) -> None:
        while not self._is_over.wait(self.EVERY):
            try:
                self._cancel_one()
                if self._drawn.random() < 0.5:
                    self._replay_one()
            except CannotStart:  # refused, or nobody there: both happen, neither is an answer to rely on
                self.books.count("calls in vain")

    def _cancel_one(self) -> None:
        recent = [one for one in self.books.acknowledged()[-40:] if one.workflow in WEIGHTS][-12:]
        if not recent:
            return
        chosen = self._drawn.choice(recent).acknowledged
        assert chosen is not None
        run_id = self.api.get(f"/api/v1/events/{chosen.event_id}")["run_id"]
        if run_id is not None:
            self.api.post(f"/api/v1/runs/{run_id}/cancel")
            self.books.count("cancels")

    def _replay_one(self) -> None:
        status = self._drawn.choice(("failed", "cancelled"))
        listed = self.api.get(f"/api/v1/runs?status={status}&limit=20")["results"]
        found = [run for run in listed if "step.worker_lost" not in json.dumps(run)]  # not the killers
        if found:
            run = self._drawn.choice(found)
            self.api.post(f"/api/v1/runs/{run['id']}/replay")
            self.books.count("replays")
