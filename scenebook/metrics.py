"""Prometheus metrics, recorded at the doors; no label names an owner or a video.

docs/metrics.md explains each. Where all values of the labels are known, every series is there at 0
from the start: a rate sees no first step, and an alert no trouble, in a series that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from scenebook.model import (
    Channel,
    ChannelState,
    ChannelStatus,
    JobState,
    SearchChannel,
    Stage,
)

# When each series began is a second series for each, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

JOBS = Counter(
    "scenebook_jobs_total", "Attempts that ended, by stage and outcome.", ["stage", "outcome"]
)
JOB_ATTEMPTS = Counter(
    "scenebook_job_attempts_total",
    "Claims, by stage and whether the job had failed before: first or again.",
    ["stage", "attempt"],
)
STAGE_SECONDS = Histogram(
    "scenebook_stage_seconds",
    "Time a job took, by stage.",
    ["stage"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
SCENE_CHANNELS = Counter(
    "scenebook_scene_channels_total",
    "Scenes that were settled, by channel and status.",
    ["channel", "status"],
)
CLIP_SECONDS = Histogram(
    "scenebook_clip_seconds",
    "Time of the CLIP model for one scene.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5),
)
CHILD_STARTS = Counter(
    "scenebook_child_starts_total",
    "Starts of child processes, by child and whether it ran before in its parent: first or again.",
    ["child", "start"],
)
CHILD_REQUESTS = Counter(
    "scenebook_child_requests_total",
    "What was asked of child processes, by outcome: answered, refused, timeout or died.",
    ["child", "outcome"],
)
CLIP_CIRCUIT_OPENINGS = Counter(
    "scenebook_clip_circuit_openings_total",
    "Times that CLIP failed so often in a row that it was left alone for a while.",
)
# Processes count together in a worker: this is how many of them.
CLIP_CIRCUITS_OPEN = Gauge(
    "scenebook_clip_circuits_open",
    "Processes that leave CLIP alone after failures, until a trial succeeds.",
    multiprocess_mode="sum",
)
PUBLISHED = Counter("scenebook_published_total", "Jobs handed to the broker.")
SWEPT = Counter("scenebook_swept_total", "Expired leases, by what became of the job.", ["outcome"])
BROKER_ERRORS = Counter("scenebook_broker_errors_total", "Rounds in which the broker was away.")
UNREADABLE = Counter(
    "scenebook_unreadable_messages_total", "Things in the broker's queue that are no message."
)
REQUESTS = Counter(
    "scenebook_requests_total",
    "Requests by route template, method and status.",
    ["route", "method", "status"],
)
REQUEST_SECONDS = Histogram(
    "scenebook_request_seconds",
    "Time until the answer was complete, by route template.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REFUSED = Counter("scenebook_refused_total", "Requests refused at the door, by reason.", ["reason"])
REDIS_FALLBACKS = Counter(
    "scenebook_redis_fallbacks_total", "Times a request did without Redis, by use.", ["use"]
)
WEBHOOKS = Counter("scenebook_webhooks_total", "Attempts to deliver, by outcome.", ["outcome"])
WEBHOOK_SECONDS = Histogram(
    "scenebook_webhook_seconds",
    "Time one attempt to deliver took.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
TIDIED = Counter("scenebook_tidied_total", "Rows that the relay removed, by what.", ["what"])
QUERY_VECTORS = Counter(
    "scenebook_query_vectors_total",
    "Vectors of queries, by where they were found: process, redis, waiting (for an equal query "
    "that was being encoded) or model.",
    ["found"],
)
UPSTREAM_CALLS = Counter(
    "scenebook_upstream_calls_total",
    "Calls of models behind an API, by service and outcome.",
    ["service", "outcome"],
)
UPSTREAM_SECONDS = Histogram(
    "scenebook_upstream_seconds",
    "Time of one call of a model behind an API, by service.",
    ["service"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
UPSTREAM_TOKENS = Counter(
    "scenebook_upstream_tokens_total",
    "Tokens that answers say they cost, by service and direction: input or output.",
    ["service", "direction"],
)
UPSTREAM_SAVED = Counter(
    "scenebook_upstream_saved_total",
    "Calls that were not made, since their answer had been paid for before, by service.",
    ["service"],
)
SEARCH_SECONDS = Histogram(
    "scenebook_search_seconds",
    "Time of one search, with encoding the query.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
DEGRADED_SEARCHES = Counter(
    "scenebook_degraded_searches_total",
    "Searches in which a channel could not take part, by channel.",
    ["channel"],
)
EMPTY_SEARCHES = Counter("scenebook_empty_searches_total", "Searches that found nothing.")
SEARCH_CHANNEL_SECONDS = Histogram(
    "scenebook_search_channel_seconds",
    "Time of one step of a search, by channel and step: encode the query, or search with it.",
    ["channel", "step"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

STAGES = tuple(Stage)
# What docs/metrics.md lists; the last two of a job are those that were not written down.
OUTCOMES = (
    JobState.SUCCEEDED, JobState.RETRYABLE, JobState.FAILED, JobState.CANCELLED,
    "handed_back", "postponed", "lost", "unrecorded",
)  # fmt: skip
SERVICES = ("description", "embedding", "transcription")
UPSTREAM_OUTCOMES = (
    "ok", "timeout", "rate_limited", "unavailable", "bad_answer", "configuration", "refused",
)  # fmt: skip
SEARCHED = (*SearchChannel, "rerank")
REFUSALS = (
    "body", "slow_body", "rate_key", "rate_owner", "rate_stranger", "owner_requests",
    "owner_uploads", "owner_streams", "too_many_requests", "too_many_streams",
)  # fmt: skip


def count_settled(states: Iterable[ChannelState]) -> None:
    """Count scenes in a channel; one that is pending counts when it no longer is."""
    for state in states:
        if state.status is not ChannelStatus.PENDING:
            SCENE_CHANNELS.labels(state.channel.value, state.status.value).inc()


def _from_zero(metric: Counter | Histogram, *values: Iterable[str]) -> None:
    for labels in product(*values):
        metric.labels(*map(str, labels))


_from_zero(JOBS, STAGES, OUTCOMES)
_from_zero(JOB_ATTEMPTS, STAGES, ("first", "again"))
_from_zero(STAGE_SECONDS, STAGES)
_from_zero(SCENE_CHANNELS, Channel, (one for one in ChannelStatus if one != ChannelStatus.PENDING))
_from_zero(CHILD_STARTS, ("inference", "media"), ("first", "again"))
_from_zero(CHILD_REQUESTS, ("inference", "media"), ("answered", "refused", "timeout", "died"))
_from_zero(SWEPT, (JobState.RETRYABLE, JobState.FAILED, JobState.CANCELLED))
_from_zero(REFUSED, REFUSALS)
_from_zero(REDIS_FALLBACKS, ("get", "set", "limits", "readyz"))
_from_zero(WEBHOOKS, ("delivered", "retried", "failed"))
_from_zero(QUERY_VECTORS, ("process", "redis", "waiting", "model"))
_from_zero(UPSTREAM_CALLS, SERVICES, UPSTREAM_OUTCOMES)
_from_zero(UPSTREAM_SECONDS, SERVICES)
_from_zero(UPSTREAM_TOKENS, SERVICES, ("input", "output"))
_from_zero(UPSTREAM_SAVED, SERVICES)
_from_zero(DEGRADED_SEARCHES, SEARCHED)
_from_zero(SEARCH_CHANNEL_SECONDS, SearchChannel, ("encode", "search"))
