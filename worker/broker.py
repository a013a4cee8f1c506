"""Redis as Celery's broker, where bytes that are no message cost nothing but their log line."""

from __future__ import annotations

from json import JSONDecodeError
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis, virtual

from scenebook import metrics
from scenebook.model import Stage

log = structlog.get_logger(__name__)

JSON = "application/json"


class NoMessage(ValueError):
    """What lay in the queue is not what the relay writes."""


class Message(virtual.Message):  # type: ignore[misc]
    """A message of ours: a job's id for one of the stages. Celery itself trusts what it takes."""

    def __init__(self, payload: Any, channel: Any = None, **more: Any) -> None:
        try:
            address = payload["properties"]["delivery_info"]
            address["exchange"], address["routing_key"]
            super().__init__(payload, channel=channel, accept={JSON}, **more)
            stage = Stage(self.headers["task"])
            ((job_id,), keywords, _) = self.payload
        except Exception as error:  # a decoder may raise anything at all
            raise NoMessage(f"{type(error).__name__}: {error}") from error
        if type(job_id) is not int or not 0 < job_id < 2**63 or keywords != {}:
            raise NoMessage(f"no id of a job for {stage.value}")


class QoS(redis.QoS):  # type: ignore[misc]
    """Writes no receipts: a full broker would refuse them, and that would end the worker.

    A message that is lost with its worker is rung for again.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """There is nothing to restore."""

    def restore_by_tag(self, *_: Any, **__: Any) -> None:
        """As above: at the end of a worker, for what it did not begin."""


class Channel(redis.Channel):  # type: ignore[misc]
    """Takes messages from the queue; anything else would end the whole worker."""

    Message = Message
    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (JSONDecodeError, NoMessage, RecursionError) as error:
            metrics.UNREADABLE.inc()
            log.error("message_unreadable", error=str(error)[:200])
            raise Empty from error


class Transport(redis.Transport):  # type: ignore[misc]
    """`kombu.transport.redis` with this module's channel."""

    Channel = Channel
