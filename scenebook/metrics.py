"""Prometheus metrics, recorded at the doors; no label names an owner or a video."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

JOBS = Counter("scenebook_jobs_total", "Jobs by stage and outcome.", ["stage", "outcome"])
STAGE_SECONDS = Histogram(
    "scenebook_stage_seconds",
    "Time a job took, by stage.",
    ["stage"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
SCENE_CHANNELS = Counter(
    "scenebook_scene_channels_total", "Scenes by channel and status.", ["channel", "status"]
)
CLIP_SECONDS = Histogram(
    "scenebook_clip_seconds",
    "Time of the CLIP model for one scene.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5),
)
ENCODER_RESTARTS = Counter(
    "scenebook_encoder_restarts_total", "Times the inference child was killed and started again."
)
PUBLISHED = Counter("scenebook_published_total", "Jobs handed to the broker.")
SWEPT = Counter("scenebook_swept_total", "Expired leases, by what became of the job.", ["outcome"])
BROKER_ERRORS = Counter("scenebook_broker_errors_total", "Rounds in which the broker was away.")
UNREADABLE = Counter(
    "scenebook_unreadable_messages_total", "Things in the broker's queue that are no message."
)
# Set by the relay alone; in a worker, whose processes count together, a gauge must say how.
OPEN_JOBS = Gauge(
    "scenebook_open_jobs",
    "Unfinished jobs by stage and state.",
    ["stage", "state"],
    multiprocess_mode="max",
)
WAITING_RINGS = Gauge(
    "scenebook_waiting_rings",
    "Messages in the broker that no worker has taken.",
    multiprocess_mode="max",
)
OLDEST_DUE_SECONDS = Gauge(
    "scenebook_oldest_due_seconds",
    "Age of the oldest job that is due.",
    multiprocess_mode="max",
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
