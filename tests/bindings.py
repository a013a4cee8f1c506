"""What every statement of `scenebook/db/sql` is asked with, for the own things or for others'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tests.matrix import TEXT, direction
from tests.worlds import SPEECH, Ids

LATER = datetime(2100, 1, 1, tzinfo=UTC)
NEW_ID = UUID("00000000-0000-4000-8000-00000000000f")

# The values of parameters that name somebody's things.
NAMED: Mapping[str, Callable[[Ids], Any]] = {
    "video_id": lambda one: one.video_id,
    "video_ids": lambda one: [one.video_id],
    "scene_id": lambda one: one.scene_id,
    "scene_ids": lambda one: one.scene_ids,
    "ids": lambda one: one.scene_ids,
    "keyframe_id": lambda one: one.keyframe_id,
    "endpoint_id": lambda one: one.endpoint_id,
    "delivery_id": lambda one: one.delivery_id,
}
# Where a name means something else: by folder, or by statement.
ELSEWHERE: Mapping[str, Mapping[str, Callable[[Ids], Any]]] = {
    "api_keys": {"id": lambda one: one.key_id},
    "uploads": {"id": lambda one: one.upload_id},
    "jobs": {
        "id": lambda one: one.job_id,
        "ids": lambda one: [one.job_id],
        "video_id": lambda one: one.waiting_id,
    },
    "videos": {"ids": lambda one: [one.video_id]},
    "webhooks": {"id": lambda one: one.delivery_id},
    "spaces": {"id": lambda one: 1},
    "scenes/add": {"id": lambda one: NEW_ID},
    "videos/add": {"id": lambda one: NEW_ID},
    "videos/add_import": {"id": lambda one: NEW_ID},
    "videos/current_generation": {"video_id": lambda one: one.waiting_id},
    "videos/newest_generation": {"video_id": lambda one: one.waiting_id},
    "videos/started": {"video_id": lambda one: one.waiting_id},
    "videos/uploaded": {"video_id": lambda one: one.uploading_id},
    "tidying/give_up_video": {"video_id": lambda one: one.uploading_id},
    "reconcile": {"ids": lambda one: [one.video_id]},
    "reconcile/open_uploads": {"ids": lambda one: [one.upload_id]},
    "jobs/worker_beat": {"id": lambda one: "a worker"},
    "search/hybrid": {"video_id": lambda one: None},
    "words/search": {"video_id": lambda one: None},
    "videos/select": {"video_id": lambda one: None},
}
PLAIN: Mapping[str, Any] = {
    **dict.fromkeys(
        ("after_generation", "after_id", "after_index", "after_scene_id", "after_score",
         "after_text_rank", "after_video", "as_of", "before", "before_at", "before_id", "draining",
         "error", "except_scene_id", "expires_days", "first", "from_ms", "has_speech", "hidden",
         "language", "last", "max_duration_ms", "min_duration_ms", "only", "perceptual_hash",
         "speaker", "summary", "title", "to_ms", "total", "transcript_key", "visual", "status",
         "tags", "content_hash", "enabled", "url", "events", "space_ids", "traceparent"),
    ),
    "active": False, "after": UUID(int=0), "again_s": 5, "asking": [], "at_most": 100,
    "at_ms": 1, "attempt": 0,
    "attempts_back": 0, "audio_codec": None, "audio_key": "key", "audio_silent": False, "bytes": 5,
    "candidates": 200, "channel": "visual_clip", "channels": ["transcript", "summary"],
    "crashes": 0, "damage": None, "deadline_s": 60, "decoded_ms": 5, "delay_s": 0,
    "description": "a description", "dimensions": 4, "duration_ms": 5,
    "embedding": "[0.5,0.5,0.5,0.5]", "end_ms": 9000, "endpoint_ids": [], "endpoints_sending": [],
    "event": "video.ready", "except_id": 0, "except_in": [], "failed_stage": None, "fps": 25.0,
    "generation": 2, "has_audio": True, "hashes": ["picture 0"], "height": 9,
    "image_hash": "picture 9", "image_key": "key", "key": "key", "kind": "describe",
    "lease_s": 60, "limit": 100, "lock_s": 60, "locked_until": LATER, "metadata": "{}",
    "model": "compass", "most": 100, "most_of_endpoint": 10, "most_of_owner": 10, "name": "a name",
    "of_model": ["ok", "timeout", "pending"], "offset": 0, "older_s": 60, "ordinal": 9,
    "own": '{"a": 1}', "owner_ids": [], "owners_sending": [], "payload": "{}", "prefix": "sbk_",
    "priority": 2, "progress": 3, "published": True, "quality": "{}",
    "query": direction("visual_clip"), "rank": 9, "reason": "a reason", "republish_s": 30,
    "request_hash": "hash", "response": "{}", "revision": "1", "rotation": 0, "rotation_s": 60,
    "rows": '[{"took_ms": 1, "timing_ms": {}, "degraded": [], "hits": 0}]', "scene_index": 9,
    "scopes": ["read"], "secret": "secret", "secret_hash": "0" * 64, "sidecar": '{"a": 1}',
    "silent_s": 60,
    "source": "api", "source_key": "key", "source_url": "https://example.org/a", "space_id": 1,
    "stage": "finalize", "stages": ["probe", "segment"], "start_ms": 8000, "state": "queued",
    "text": TEXT, "thresholds": "{}", "times": [1, 1, 1, 1, 1, 1, 1, 1], "token": 7,
    "transcript": "words", "ttl_s": 3600, "unit": 0, "units": 1, "version": "1",
    "video_codec": None, "visual_clip": direction("visual_clip"), "wanted": ["ok", "pending"],
    "weights": "test", "why": "no vector", "within_s": 60,
    "width": 16, "worker": "a worker", "writer": 0,
}  # fmt: skip
DIFFERENT: Mapping[str, Mapping[str, Any]] = {
    "scenes/remove_older": {"generation": 3},
    "scenes/remove_older_utterances": {"generation": 3},
    "videos/fail": {"generation": 3},
    "webhooks/is_wanted": {"event": "video.failed"},
    "idempotency/finish": {"status": 200},
    "api_keys/add": {"secret_hash": "1" * 64},
    "videos/set_status": {"status": "failed"},
    "videos/finish": {"status": "partial"},
    "videos/add": {"title": "A title", "content_hash": "hash"},
    "videos/add_import": {"title": "A title"},
    "videos/fetched": {"content_hash": "another hash"},
    "videos/edit": {"title": "A title"},
    "videos/select": {"limit": None, "content_hash": "hash"},
    "scenes/set_channel": {"status": "error"},
    "scenes/set_description": {"tags": ["a"]},
    "scenes/add_keyframe": {"rank": 9},
    "spaces/set_state": {"status": "error", "space_id": 5},
    "spaces/set_source": {"source": "{}"},
    "spaces/add": {"source": "{}"},
    "spaces/put_aside": {"space_id": 5},
    "spaces/take_over": {"space_id": 5},
    "spaces/remove_states": {"space_id": 5},
    "spaces/say_missing": {"space_id": 5},
    "spaces/count_elsewhere": {"space_id": 5},
    "spaces/standing": {"space_id": 5},
    "spaces/lacking": {"space_id": 5, "wanted": ["timeout"]},
    "spaces/add_vector": {"space_id": 3, "ordinal": 0},
    "search/hybrid": {"transcript": None, "space_ids": "{}", "weights": "{}"},
    "search/scene_vectors": {"space_ids": [1, 2]},
    "search/within": {"limit": "5s"},
    "webhooks/add": {"url": "https://example.org", "events": ["video.ready"]},
    "webhooks/change": {"enabled": False},
    "words/highlight": {"text": SPEECH},
    "words/correct": {"text": "pickel"},
    "scenes/fail_channels": {"first": 0, "last": 9},
    "uploads/advance": {"offset": 5},
    "uploads/take_over": {"offset": 5},
}


class Values(dict[str, Any]):
    """Every parameter that a statement may have; one that is not known here fails by its name."""


def values_of(name: str, caller: Ids, *, of: Ids, only: str | None = None) -> Values:
    """What the caller asks the statement with, for these ids; `only`: one of them, the rest own."""
    folder = name.partition("/")[0]
    named = {**NAMED, **ELSEWHERE.get(folder, {}), **ELSEWHERE.get(name, {})}
    got = Values(PLAIN)
    got["owner_id"] = caller.owner_id
    for parameter, value in named.items():
        theirs, own = value(of), value(caller)
        if only not in (None, parameter):
            theirs = own
        elif isinstance(theirs, list) and theirs != own:
            theirs = [*own, *theirs]
        got[parameter] = theirs
    return Values(got | DIFFERENT.get(name, {}))


def ways(name: str, parameters: set[str], caller: Ids, theirs: Ids) -> Iterator[Values]:
    """For the own things, for the others', and for each one of the others' among the own."""
    yield values_of(name, caller, of=caller)
    folder = name.partition("/")[0]
    named = {**NAMED, **ELSEWHERE.get(folder, {}), **ELSEWHERE.get(name, {})}
    varied = [
        one for one in named if one in parameters and named[one](caller) != named[one](theirs)
    ]
    if varied:
        yield values_of(name, caller, of=theirs)
    if len(varied) > 1:
        for one in varied:
            yield values_of(name, caller, of=theirs, only=one)
