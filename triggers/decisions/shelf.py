"""What all processes noted and nobody collected yet, in Redis: put there and taken away in one script each.

Counters are a hash, notes a list for each trigger, and a sorted set says how many each list holds. At most 1,000
notes stay, the newest; where there are more, the trigger that has most makes room.

A script is atomic, so two collectors never take the same. An exchange whose answer was lost may or may not have
happened: neither side repeats it. So notes and counts can be lost (that way, with a process, with Redis, or with a
collector that dies before it stores what it took) and are never counted twice.

A note is `<Redis's clock> <age> <JSON>`. Clocks are never compared: a process says how old a note is when it puts
it there, Redis measures how long it lay there, and PostgreSQL's clock minus both is when it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from lightfield.kernel import impatient_redis
from triggers.decisions.noted import Note
from triggers.decisions.verdicts import Verdict

TIMEOUT_SECONDS: Final = 0.5  # for one exchange
MOST_NOTES: Final = 1_000
MOST_COUNTERS: Final = 10_000
KEPT_SECONDS: Final = 24 * 3600  # without a sweep, or when a FLUSHALL of ours was half a one
MOST_SUBJECT: Final = 200  # characters
MOST_DETAIL: Final = 2_000  # bytes of JSON

COUNTS: Final = "lightfield:decisions:counts"  # hash, "trigger:verdict": how many
SIZES: Final = "lightfield:decisions:sizes"  # sorted set of triggers by the length of their list
NOTES: Final = "lightfield:decisions:notes:"  # + trigger: a list, the newest first

# The lists' names are made here from numbers of ours: no cluster, no key beyond the prefix.
PUT: Final = """
local counters, notes, most, counts_most, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4]), ARGV[5]
local now = redis.call('TIME')
local at, place = 6, now[1] .. '.' .. string.format('%06d', now[2])
local size = redis.call('HLEN', KEYS[1])
for _ = 1, counters do
  if size < counts_most or redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 then
    if redis.call('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1]) == tonumber(ARGV[at + 1]) then size = size + 1 end
  end
  at = at + 2
end
for _ = 1, notes do
  local list = KEYS[3] .. ARGV[at]
  redis.call('LPUSH', list, place .. ' ' .. ARGV[at + 1])
  redis.call('EXPIRE', list, kept)
  redis.call('ZINCRBY', KEYS[2], 1, ARGV[at])
  at = at + 2
end
local sum = 0
local sizes = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for i = 2, #sizes, 2 do sum = sum + tonumber(sizes[i]) end
while sum > most do
  local longest = redis.call('ZREVRANGE', KEYS[2], 0, 0)[1]
  redis.call('RPOP', KEYS[3] .. longest)
  if tonumber(redis.call('ZINCRBY', KEYS[2], -1, longest)) <= 0 then redis.call('ZREM', KEYS[2], longest) end
  sum = sum - 1
end
redis.call('EXPIRE', KEYS[1], kept)
redis.call('EXPIRE', KEYS[2], kept)
"""

# At rest: two looks at keys that are not there.
TAKE: Final = """
local counts = {}
if redis.call('HLEN', KEYS[1]) <= tonumber(ARGV[1]) then counts = redis.call('HGETALL', KEYS[1]) end
local notes = {}
for _, trigger in ipairs(redis.call('ZRANGE', KEYS[2], 0, tonumber(ARGV[2]) - 1)) do
  local list, room = KEYS[3] .. trigger, tonumber(ARGV[2]) - #notes / 2
  if room > 0 then
    for _, note in ipairs(redis.call('LRANGE', list, 0, room - 1)) do
      notes[#notes + 1] = trigger
      notes[#notes + 1] = note
    end
  end
  redis.call('UNLINK', list)
end
redis.call('DEL', KEYS[1], KEYS[2])
return {redis.call('TIME'), counts, notes}
"""


@dataclass(frozen=True)
class Taken:
    """As it lay there: whoever can write to Redis can have put it there."""

    now: float  # Redis's clock
    counts: list[tuple[bytes, bytes]]  # "trigger:verdict" and number
    notes: list[tuple[bytes, bytes]]  # trigger, and "clock age JSON"


def put(counts: Mapping[tuple[int, Verdict], int], notes: Iterable[Note]) -> None:
    """Add counters and notes, oldest first. Raises redis.RedisError; then it may have happened or not."""
    packed = [part for note in notes for part in (note.trigger_id, _packed(note))]
    counted = [part for (trigger_id, verdict), n in counts.items() for part in (f"{trigger_id}:{verdict}", n)]
    sizes = (len(counted) // 2, len(packed) // 2, MOST_NOTES, MOST_COUNTERS, KEPT_SECONDS)
    _run(PUT, *sizes, *counted, *packed)


def take() -> Taken:
    """Everything, which is then no longer there. Raises redis.RedisError; then it may be lost."""
    try:
        (seconds, micros), counts, notes = _run(TAKE, MOST_COUNTERS, MOST_NOTES)
    except redis.ResponseError:
        # Something else lies under these names. Whatever it is, it must not keep all others from being collected.
        _redis().delete(COUNTS, SIZES)
        raise
    return Taken(
        int(seconds) + int(micros) / 1e6,
        list(zip(counts[::2], counts[1::2], strict=True)),
        list(zip(notes[::2], notes[1::2], strict=True)),
    )


def _packed(note: Note) -> str:
    detail = note.detail or {}
    body: dict[str, Any] = {
        "verdict": str(note.verdict),
        "subject": str(note.subject)[:MOST_SUBJECT],
        "detail": detail,
        "count": note.count,
    }
    try:
        if len(json.dumps(detail, allow_nan=False)) > MOST_DETAIL:
            body["detail"] = {"left_out": "too large"}
        text = json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # not JSON: the note is worth more than its detail
        text = json.dumps({**body, "detail": {"left_out": "not JSON"}})
    return f"{time.monotonic() - note.at:.3f} {text}"


_client: redis.Redis | None = None


def _redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = impatient_redis.client(seconds=TIMEOUT_SECONDS)
    return _client


def _run(script: str, *args: Any) -> Any:
    return _redis().register_script(script)(keys=[COUNTS, SIZES, NOTES], args=args)


def hang_up() -> None:
    """Forget the connection: it is broken, or it is that of the process this one was forked from."""
    global _client
    _client = None
