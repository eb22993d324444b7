"""Senders of webhooks as they are: many that sign, one far over its limit, some that mean harm.

200 signed webhooks a second in an open loop; then slow senders, one byte a second each, beside a calm one; then 200
requests that nobody takes, and the memory of the web processes after them; and, with a limit that this machine can
send ten times over, a flood at one address beside another.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import cpu, hostile, load, systems, validity, waiting
from benchmarks.figures import Line, Round, at_least, at_most, milliseconds
from benchmarks.installation import Installation
from benchmarks.load import Reply, Sender
from benchmarks.memory import pss_mb
from benchmarks.stage import Bench, Stage, judged
from benchmarks.throughput import SETTLE_SECONDS
from lightfield.local.boot import CannotStart, say

RATE = 200.0  # signed webhooks a second
CALM_RATE = 20.0  # of whoever is looked at beside the others
LIMIT = 40  # of one address in the flood, a second
TIMES = 10  # over it
NONSENSE, WARM = 200, 40
STEP = {"key": "told", "type": "log", "config": {"message": "captured"}}
USUAL = {  # the product's own
    "LIGHTFIELD_WEBHOOK_RATE": "300",
    "LIGHTFIELD_WEBHOOK_BURST": "600",
    "LIGHTFIELD_SENDER_RATE": "1000",
    "LIGHTFIELD_SENDER_BURST": "2000",
}
LOW = {**USUAL, "LIGHTFIELD_WEBHOOK_RATE": str(LIMIT), "LIGHTFIELD_WEBHOOK_BURST": str(LIMIT)}


@dataclass(frozen=True)
class Figures:
    is_signed: float  # 1, or 0 where this release verifies no signatures
    signed_sent: float
    signed_lost: float  # not accepted, or accepted without a run that completed
    signed_p50_ms: float
    signed_p95_ms: float
    signed_late_p99_ms: float  # of the load, behind its schedule
    signed_cpu_per_1000: float
    slow_told_408: float  # of 100
    beside_slow_p50_ms: float
    beside_slow_p95_ms: float
    beside_slow_refused: float
    web_mb: float  # PSS of the web processes
    web_growth_mb: float  # by the slow ones and the nonsense
    quiet_p50_ms: float
    quiet_p95_ms: float
    flood_per_second: float  # answered
    flood_429_percent: float
    flood_accepted_per_second: float
    beside_flood_p50_ms: float
    beside_flood_p95_ms: float
    beside_flood_refused: float
    cores_of_others: float


LINES = (
    Line("is_signed", "signed", 0),
    Line("signed_sent", "signed webhooks at 200/s", 0),
    Line("signed_lost", "  lost", 0, at_most(0)),
    Line("signed_p50_ms", "  accept p50 ms", 1, at_most(15)),
    Line("signed_p95_ms", "  accept p95 ms", 1, at_most(80)),
    Line("signed_cpu_per_1000", "  CPU s / 1000", 2),
    Line("signed_late_p99_ms", "  load behind schedule p99 ms"),
    Line("slow_told_408", "% of slow senders told 408", 0, at_least(100)),
    Line("beside_slow_p50_ms", "  accept p50 ms beside them"),
    Line("beside_slow_p95_ms", "  accept p95 ms beside them", 1, at_most(80)),
    Line("beside_slow_refused", "  not accepted beside them", 0, at_most(0)),
    Line("web_mb", "web PSS MB before", 1),
    Line("web_growth_mb", "  growth after slow ones and nonsense", 1, at_most(20)),
    Line("quiet_p50_ms", "accept p50 ms before the flood"),
    Line("quiet_p95_ms", "accept p95 ms before the flood"),
    Line("flood_per_second", "flood at one address, answers/s", 0),
    Line("flood_429_percent", "  % told 429", 1, at_least(85)),
    Line("flood_accepted_per_second", "  accepted/s (limit 40)", 1, at_most(LIMIT * 1.1)),
    Line("beside_flood_p50_ms", "  accept p50 ms at another address"),
    Line("beside_flood_p95_ms", "  accept p95 ms at another address", 1, at_most(80)),
    Line("beside_flood_refused", "  not accepted at another address", 0, at_most(0)),
    Line("cores_of_others", "cores used by others", 2),
)


class Signing:
    """Standard Webhooks, v1: the id, the time and the body under a secret of 24 bytes."""

    def __init__(self) -> None:
        self._secret = os.urandom(24)
        self.secret = f"whsec_{base64.b64encode(self._secret).decode()}"

    def __call__(self, body: bytes) -> bytes:
        message_id, now = uuid.uuid4().hex.encode(), str(int(time.time())).encode()
        mac = hmac.new(self._secret, b"%s.%s.%s" % (message_id, now, body), hashlib.sha256).digest()
        lines = (
            b"webhook-id: %s\r\n" % message_id,
            b"webhook-timestamp: %s\r\n" % now,
            b"webhook-signature: v1,%s\r\n" % base64.b64encode(mac),
        )
        return b"".join(lines)


def play(stage: Stage) -> Round:
    played = Round()
    with stage.lightfield(settings=USUAL) as system:
        signed, problems = _signed(stage, system)
        among = _among_slow(stage, system)
    with stage.lightfield(settings=LOW) as system:
        beside = _beside_a_flood(stage, system)
    others = max(part.pop("cores_of_others") for part in (signed, among, beside))
    figures = Figures(**signed, **among, **beside, cores_of_others=others)
    played.add(system.name, asdict(figures), problems, validity.of_machine(others))
    return played


def _signed(stage: Stage, system: Installation) -> tuple[dict[str, Any], list[str]]:
    hook, sign = _publish_signed(system)
    warm = load.run(Sender(hook, sign=sign).open_loop(systems.bodies(), rate=20, seconds=2))
    system.wait_for(warm)
    meter = validity.Meter(system.roots, system.sink.pid)
    replies = load.run(
        Sender(hook, sign=sign).open_loop(systems.bodies(), rate=RATE, seconds=stage.options.signed_seconds)
    )
    system.wait_for(replies)
    waiting.sleep(SETTLE_SECONDS)
    used = meter.read()
    ends, _, problems = judged(system, replies)
    return {
        "is_signed": float(sign is not None),
        "signed_sent": len(replies),
        "signed_lost": len(replies) - len(ends.at),
        "signed_p50_ms": _ms(replies, 50),
        "signed_p95_ms": _ms(replies, 95),
        "signed_late_p99_ms": milliseconds([reply.late for reply in replies], 99),
        "signed_cpu_per_1000": used.system / len(replies) * 1000,
        "cores_of_others": used.cores_of_others,
    }, problems


def _publish_signed(system: Installation) -> tuple[str, Callable[[bytes], bytes] | None]:
    """The address of a workflow that wants signatures and what makes them; without, where they are not supported."""
    sign = Signing()
    signature = {"scheme": "standard", "secret": sign.secret}
    try:
        return system.publish("Signed", [STEP], signature=signature).hook, sign
    except CannotStart as problem:
        say(f"unsigned: {problem}")
        return system.publish("Unsigned", [STEP]).hook, None


def _among_slow(stage: Stage, system: Installation) -> dict[str, Any]:
    calm = system.publish("Calm", [STEP]).hook
    load.run(hostile.send_nonsense(calm, WARM))  # buffers that a process keeps once it has had them
    before = _web_mb(system)
    seconds = stage.options.beside_seconds
    meter = validity.Meter(system.roots, system.sink.pid)

    async def together() -> tuple[list[Reply], list[int]]:
        slow = [hostile.trickle(calm, seconds + 20) for _ in range(stage.options.slow_senders)]
        told = asyncio.gather(*slow)
        replies = await Sender(calm).open_loop(systems.bodies(), rate=CALM_RATE, seconds=seconds)
        return replies, list(await told)

    replies, told = load.run(together())
    load.run(hostile.send_nonsense(calm, NONSENSE))
    waiting.sleep(SETTLE_SECONDS)
    used = meter.read()
    return {
        "slow_told_408": told.count(408) / len(told) * 100,
        "beside_slow_p50_ms": _ms(replies, 50),
        "beside_slow_p95_ms": _ms(replies, 95),
        "beside_slow_refused": sum(reply.status != 202 for reply in replies),
        "web_mb": before,
        "web_growth_mb": _web_mb(system) - before,
        "cores_of_others": used.cores_of_others,
    }


def _beside_a_flood(stage: Stage, system: Installation) -> dict[str, Any]:
    busy, calm = (system.publish(name, [STEP]).hook for name in ("Busy", "Calm"))
    seconds = stage.options.beside_seconds
    stage.warm(system, calm, steps=0)
    waiting.sleep(SETTLE_SECONDS)
    quiet = load.run(Sender(calm).open_loop(systems.bodies(), rate=CALM_RATE, seconds=seconds))
    meter = validity.Meter(system.roots, system.sink.pid)

    async def together() -> tuple[list[Reply], list[Reply]]:
        flood = Sender(busy).open_loop(systems.bodies(), rate=LIMIT * TIMES, seconds=seconds)
        return tuple(  # type: ignore[return-value]  # two, as asked for
            await asyncio.gather(
                flood, Sender(calm).open_loop(systems.bodies(), rate=CALM_RATE, seconds=seconds)
            )
        )

    flood, beside = load.run(together())
    used = meter.read()
    accepted = sum(reply.status == 202 for reply in flood)
    return {
        "quiet_p50_ms": _ms(quiet, 50),
        "quiet_p95_ms": _ms(quiet, 95),
        "flood_per_second": len(flood) / seconds,
        "flood_429_percent": sum(reply.status == 429 for reply in flood) / len(flood) * 100,
        "flood_accepted_per_second": max(0, accepted - LIMIT) / seconds,  # beyond the burst
        "beside_flood_p50_ms": _ms(beside, 50),
        "beside_flood_p95_ms": _ms(beside, 95),
        "beside_flood_refused": sum(reply.status != 202 for reply in beside),
        "cores_of_others": used.cores_of_others,
    }


def _ms(replies: list[Reply], percent: float) -> float:
    return milliseconds([reply.seconds for reply in replies], percent)


def _web_mb(system: Installation) -> float:
    return sum(pss_mb(pid) or 0.0 for pid in cpu.pids_of([system.pids()["web"]]))


BENCH = Bench(
    "senders",
    "200 signed webhooks a second; slow and hostile senders, and a flood beside others",
    1,
    LINES,
    play,
)
