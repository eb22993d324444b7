"""Celery's Redis transport with a sieve in front: a message that is none of ours is thrown away.

Redis is trusted with nothing but hints. Celery's consumer however ends the whole worker when it cannot make sense
of a message, and what it had taken over by then comes back and ends the next worker, without end. So every
message is looked at before the consumer sees it, and what still upsets the consumer is dropped for good. The
rows say what is due; losing a message costs a sweep.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import Any

from celery.app import amqp
from kombu import Connection as KombuConnection
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis
from kombu.utils import json
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

LONGEST_NAME = 255
COMMANDS = "celery.pidbox"  # the exchange by which workers are asked how they are (lightfield.remote_control)
RedisChannel: Any = kombu_redis.Channel  # kombu tells types of its base classes only
PAUSES = {"interval_start": 0.25, "interval_step": 0.25, "interval_max": 1.0}  # seconds between two tries
TEXTS = ("root_id", "parent_id", "shadow", "expires", "argsrepr", "kwargsrepr", "origin")


class QoS(virtual.QoS):
    """What was taken and is not done yet, known to this process alone (ADR 0015).

    kombu's own for Redis writes each message down as it is taken, and off again when it is done. That outlives a
    killed worker; but so do the rows. Here a message that nobody can give back is rung again by the sweeper.
    """

    _delivered: Any  # tag → message; what is done is among them until the next `_flush`
    _flush: Callable[[], None]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Be done with a message; `requeue` puts it behind all that wait."""
        message = self._delivered.get(delivery_tag)
        if requeue and message is not None:
            self._give_back([message], behind=True)
        self.ack(delivery_tag)

    def restore_unacked(self) -> None:
        """The channel closes. What was taken first stands first in its queue again; nothing is tried twice."""
        self._flush()
        newest_first = list(reversed(self._delivered.values()))
        self._delivered.clear()
        if newest_first:
            self._give_back(newest_first)

    def _give_back(self, messages: list[Any], *, behind: bool = False) -> None:
        """In one transaction. Redis may be away, or full: then these messages are lost, like any."""
        channel: Any = self.channel
        try:
            with channel.conn_or_acquire() as client, client.pipeline() as pipe:
                for message in messages:
                    to = message.delivery_info
                    channel._do_restore_message(message._raw, to["exchange"], to["routing_key"], pipe, behind)
                pipe.execute()
        except (*channel.connection_errors, RedisError) as error:
            logger.info("messages_not_given_back", extra={"error": type(error).__name__})


class Channel(RedisChannel):
    """A channel that outlives every message, and the loss of its connection."""

    QoS = QoS
    _shared_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """One client for all that is published here. It takes a connection from the pool for each command.

        kombu makes one for each command instead, and redis-py fills a table of some hundred entries for each: a tenth
        of what a busy worker computed.
        """
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._shared_client is None or self._shared_client.connection_pool is not self.pool:
            self._shared_client = super()._create_client()
        return self._shared_client

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        """Where to connect to. Messages may have to be given back after the connection was lost.

        kombu then fails with an AttributeError, which Celery calls unrecoverable: it would end the worker, with
        every request in its hands, because Redis was away for a moment.
        """
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection of this channel was taken apart")
        return super()._connparams(*args, **kwargs)

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, *args: Any, **kwargs: Any) -> Any:
        made = super().basic_consume(queue, no_ack, callback, *args, **kwargs)
        callbacks = self.connection._callbacks
        callbacks[queue] = partial(self._deliver_sifted, callbacks[queue], queue, is_task=not no_ack)
        return made

    def _deliver_sifted(self, deliver: Callable[[Any], Any], queue: str, raw: Any, *, is_task: bool) -> Any:
        """Hand a message on. Others than tasks and commands are answers and events of workers: any shape may be right."""
        is_command = self._fanout_queues.get(queue, ("",))[0] == COMMANDS
        if (is_task and not is_task_message(raw)) or (is_command and not is_control_message(raw)):
            logger.warning("message_refused", extra={"queue": queue})
            return None
        try:
            return deliver(raw)
        except (*self.connection_errors, RedisError):
            raise  # the connection, not the message
        except Exception as error:  # noqa: BLE001  no message may end the worker
            logger.warning("message_refused", extra={"queue": queue, "error": type(error).__name__})
            if is_task:
                self.basic_reject(raw["properties"]["delivery_tag"], requeue=False)
            return None

    def _handle_message(self, client: Any, response: Any) -> Any:
        """What was published to a channel that this process listens to: commands to workers, or their events."""
        payload = super()._handle_message(client, response)
        if bytes_to_str(payload["type"]).endswith("message"):
            try:
                json.loads(bytes_to_str(payload["data"]))
            except Exception as error:  # noqa: BLE001  no JSON, or JSON too deep to read
                logger.warning("message_refused", extra={"error": type(error).__name__})
                payload["data"] = None  # read as nothing at all
        return payload

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (*self.connection_errors, RedisError, Empty):
            raise
        except Exception as error:  # noqa: BLE001  no JSON, or JSON too deep to read; it has left its queue
            logger.warning("message_refused", extra={"error": type(error).__name__})
            return True


class Transport(kombu_redis.Transport):
    Channel = Channel


class Connection(KombuConnection):
    """Tries again at least every second: kombu's pauses grow to 30 s, in which Redis is back and nobody listens."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(*args, **{**PAUSES, **kwargs})


class AMQP(amqp.AMQP):
    """What Celery makes its connections with, in workers and beat."""

    Connection = Connection


def install() -> None:
    """Every `redis://` connection made from now on has the sieve."""
    here = f"{Transport.__module__}:{Transport.__qualname__}"
    TRANSPORT_ALIASES.update(redis=here, rediss=here)


def is_task_message(raw: object) -> bool:
    """Whether this is a message as our ringer and beat write them: Celery's protocol 2, in JSON, without ETA."""
    match raw:
        case {
            "body": str(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": str(task), "id": str(task_id), **headers},
            "properties": {
                "delivery_tag": str(tag),
                "body_encoding": "base64",
                "delivery_info": {"exchange": str(), "routing_key": str()},
            },
        }:
            return (
                all(0 < len(name) <= LONGEST_NAME for name in (task, task_id, tag))
                and headers.get("eta") is None
                and all(isinstance(headers.get(name), str | None) for name in TEXTS)
                and type(headers.get("retries", 0)) is int
                and headers.get("timelimit") in (None, [None, None])
                and not any(
                    headers.get(name) for name in ("group", "stamps", "stamped_headers", "compression")
                )
            )
    return False


def is_control_message(raw: object) -> bool:
    """Whether this is a message as Celery's `control` and Flower write them, to all workers or to some by name."""
    match raw:
        case {
            "body": str(body),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {**headers},
            "properties": {
                "delivery_tag": str(),
                "body_encoding": "base64",
                "delivery_info": {"exchange": str(), "routing_key": str()},
            },
        }:
            return type(headers.get("clock", 0)) is int and _is_command(_read(body))
    return False


def _read(body: str) -> object:
    try:
        return json.loads(base64.b64decode(body, validate=True))
    except (ValueError, RecursionError):
        return None


def _is_command(asked: object) -> bool:
    """No pattern: nothing of ours needs one, and a regular expression may take for ever."""
    match asked:
        case {"method": str(), **more}:
            return (
                set(more) <= {"arguments", "destination", "pattern", "matcher", "ticket", "reply_to"}
                and isinstance(more.get("arguments"), dict | None)
                and isinstance(more.get("destination"), list | None)
                and more.get("pattern") is None
                and isinstance(more.get("ticket"), str | None)
                and _is_address(more.get("reply_to"))
            )
    return False


def _is_address(reply_to: object) -> bool:
    match reply_to:
        case None | {"exchange": str(), "routing_key": str()}:
            return True
    return False
