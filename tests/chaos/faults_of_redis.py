"""Redis emptied, killed, restarted, away, frozen, full; and what nobody should put into it."""

from __future__ import annotations

import json
import signal

import redis

from tests.chaos.ordeal import Trial

PIECES = (
    b"garbage",
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


def garbage(trial: Trial) -> int:
    """Not a message at all, and messages that only look like some. What a worker does with them is its own
    affair, as long as somebody works again afterwards."""

    def throw() -> None:
        trial.stack.redis().lpush(trial.drawn.choice(("fast", "http", "ai")), trial.drawn.choice(PIECES))

    return trial.every(2, 30, throw)
