"""Redis emptied, killed, restarted, away, frozen, full; and what nobody should put into it."""

from __future__ import annotations

import base64
import json
import signal

import redis

from tests.chaos.ordeal import Trial

DEEP = b"[" * 100_000  # deeper than a reader of JSON can go
PIECES = (
    b"garbage",
    DEEP,
    b"{}",
    b'{"body": 1}',
    json.dumps({"body": "e30=", "headers": {}}).encode(),
    b"\x80\x04",
)


def flushall(trial: Trial) -> int:
    """Emptied every 5 s for a minute, under runs of two steps at 20 a second besides the usual."""
    with trial.sender.besides("twenty", 20):
        return trial.every(5, 60, lambda: trial.stack.redis().flushall())


def redis_kill(trial: Trial) -> int:
    def kill() -> None:
        trial.until(trial.redis_answers, 10)
        trial.kill("redis")
        trial.pause(1, 4)

    return trial.times(10, kill)


def redis_restart(trial: Trial) -> int:
    """It says goodbye and writes its file."""

    def restart() -> None:
        trial.until(trial.redis_answers, 10)
        trial.end("redis", signal.SIGTERM)
        trial.pause(2, 5)

    return trial.times(5, restart)


def redis_down(trial: Trial) -> int:
    """Connections are refused for 60 s, under 20 webhooks a second."""
    trial.stack.redis_line.refuse()
    with trial.sender.at_rate(20):
        trial.last(60)
    return 1


def redis_freeze(trial: Trial) -> int:
    """Nothing passes for 30 s and nobody is told, under 20 webhooks a second."""
    trial.stack.redis_line.freeze()
    with trial.sender.at_rate(20):
        trial.last(30)
    return 1


def redis_full(trial: Trial) -> int:
    """Every write is refused with OOM for 30 s; nothing is thrown out."""
    there = trial.stack.redis()
    policy = there.config_get("maxmemory-policy")["maxmemory-policy"]
    if policy != "noeviction":
        trial.problems.append(f"Redis runs with maxmemory-policy {policy}: it would throw messages out")
    trial.books.disturb("redis")
    there.config_set("maxmemory", 1)
    try:
        there.lpush("chaos", "x")
        trial.problems.append("Redis was not full")
    except redis.ResponseError:  # as wanted
        trial.last(30)
    finally:
        there.config_set("maxmemory", 0)
        trial.books.disturb("redis")
    return 1


def _command(method: str) -> bytes:
    """To all workers, as Celery publishes it."""
    delivery = {"exchange": "celery.pidbox", "routing_key": ""}
    properties = {"delivery_tag": "chaos", "delivery_info": delivery, "body_encoding": "base64"}
    body = base64.b64encode(json.dumps({"method": method, "arguments": {}}).encode()).decode()
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"clock": 1},
            "properties": properties,
        }
    ).encode()


def garbage(trial: Trial) -> int:
    """Not a message at all, and messages that only look like some, in queues and where commands are expected; and
    the command to shut down. No worker may end by any of it."""
    there = trial.stack.redis()
    commands = f"/{there.connection_pool.connection_kwargs.get('db', 0)}.celery.pidbox"

    def throw() -> None:
        there.lpush(trial.drawn.choice(("fast", "http", "ai")), trial.drawn.choice(PIECES))
        there.publish(commands, trial.drawn.choice((*PIECES, _command("shutdown"))))

    return trial.every(2, 30, throw)
