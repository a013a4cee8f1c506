"""How one owner asks for another's things: every SQL function, relation and route, by its name.

A row says what is asked for, given whose things they are and the caller's own: so the same can be
asked for another owner's things, for things that nobody has, and for the caller's.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from PIL import Image

from api import page
from tests.tenants import BYTES, TUS, Things, a_film, an_import

Asked = Mapping[str, Any]
Row = Callable[[Things, Things], list[Asked]]

TEXT = "ham, or a salt pickle"
DIMENSIONS = {"visual_clip": 109, "transcript": 256}  # of the fake encoders


def direction(channel: str) -> str:
    """A vector of the channel's space."""
    return "[" + ",".join(["1"] * DIMENSIONS.get(channel, 4)) + "]"


def _vector(channel: str) -> Row:
    asked = {"query_embedding": direction(channel), "match_threshold": -1}
    return lambda a, own: [asked, asked | {"filter_video_id": a.video_id}]


def _hybrid(a: Things, own: Things) -> list[Asked]:
    asked = {"query_text": TEXT, "query_visual_clip_embedding": direction("visual_clip")}
    return [
        asked,
        asked | {"filter_video_id": a.video_id},
        asked | {"filter_video_ids": [a.video_id], "filter_has_speech": True},
        asked | {"except_scene_id": a.scene_id},
        asked | {"after_score": 0.9, "after_scene_id": a.scene_id},
    ]


# Arguments of each function that `authenticated` may call. Where there is `filter_user_id` it is
# added: the owner of the things that are asked for, and the caller.
FUNCTIONS: Mapping[str, Row] = {
    "auth.uid": lambda a, own: [{}],
    "public.batch_score_scenes_clip": lambda a, own: [
        {"query_embedding": direction("visual_clip"), "scene_ids": [a.scene_id]}
    ],
    "public.find_similar_scenes": lambda a, own: [
        {"to_scene_id": a.scene_id, "match_threshold": -1},
        {"to_scene_id": own.scene_id, "match_threshold": -1, "filter_video_id": a.video_id},
    ],
    "public.highlight_scenes": lambda a, own: [{"scene_ids": [a.scene_id], "query_text": TEXT}],
    "public.search_scenes_by_summary_embedding": _vector("summary"),
    "public.search_scenes_by_text": lambda a, own: [
        {"query_text": TEXT},
        {"query_text": TEXT, "filter_video_id": a.video_id},
        {"query_text": TEXT, "filter_scene_ids": [a.scene_id]},
        {"query_text": TEXT, "after_text_rank": 0.9, "after_scene_id": a.scene_id},
    ],
    "public.search_scenes_by_transcript_embedding": _vector("transcript"),
    "public.search_scenes_by_visual_clip_embedding": _vector("visual_clip"),
    "public.search_scenes_by_visual_embedding": _vector("visual"),
    "public.search_scenes_hybrid": _hybrid,
    "scenebook.checked_hybrid": lambda a, own: [
        {
            "query_text": TEXT, "vectors": [], "weights": "{}", "thresholds": "{}",
            "match_count": 20, "candidates": 200, "after_score": 0.5, "after_scene_id": a.scene_id,
        }
    ],
    "scenebook.checked_query": lambda a, own: [{"query_text": TEXT}],
    "scenebook.checked_space": lambda a, own: [
        {
            "channel": "visual_clip", "query_embedding": direction("visual_clip"),
            "match_threshold": -1, "match_count": 20, "filter_space_id": None, "match_offset": 0,
        }
    ],
    "scenebook.corrected_words": lambda a, own: [{"query_text": "pickel"}],
    "scenebook.filtered_scenes": lambda a, own: [
        {
            "filter_video_ids": [a.video_id], "filter_tags": None, "filter_from_ms": 0,
            "filter_to_ms": None, "filter_min_duration_ms": None, "filter_max_duration_ms": None,
            "filter_has_speech": None,
        }
    ],
    "scenebook.languages_of": lambda a, own: [{}],
    "scenebook.least_certain_similarity": lambda a, own: [
        {
            "space": 1, "query_embedding": direction("visual_clip"), "match_count": 20,
            "index_rows": 20,
        }
    ],
    "scenebook.matched_line": lambda a, own: [
        {
            "scene_id": a.scene_id, "configuration": "simple", "query": "ham", "words": ["ham"],
        }
    ],
    "scenebook.matched_lines": lambda a, own: [{"scene_ids": [a.scene_id], "query_text": TEXT}],
    "scenebook.nearest_in_space": lambda a, own: [
        {
            "space": 1, "query_embeddings": [direction("visual_clip")], "match_threshold": -1,
            "match_count": 20, "match_offset": 0, "filter_video_id": a.video_id,
            "filter_scene_ids": [a.scene_id],
        }
    ],
    "scenebook.own_index_rows": lambda a, own: [{"space": 1}],
    "scenebook.queries_by_language": lambda a, own: [{"query_text": TEXT}],
    "scenebook.scenes_by_words": lambda a, own: [
        {
            "query_text": TEXT, "match_count": 20, "filter_video_id": a.video_id,
            "match_offset": 0, "filter_scene_ids": [a.scene_id], "after_text_rank": None,
            "after_scene_id": None, "as_of": None,
        }
    ],
    "scenebook.scenes_nearest": lambda a, own: [
        {
            "channel": "visual_clip", "query_embedding": direction("visual_clip"),
            "match_threshold": -1, "match_count": 20, "filter_video_id": a.video_id,
            "filter_space_id": None, "match_offset": 0, "filter_scene_ids": [a.scene_id],
        }
    ],
}  # fmt: skip
# They look at their arguments alone.
BLIND = {"scenebook.checked_hybrid", "scenebook.checked_query", "scenebook.checked_space"}
# They say nothing to their own owner here either: no such index, or no such channel.
SILENT = {
    "scenebook.own_index_rows", "scenebook.least_certain_similarity",
    "public.search_scenes_by_summary_embedding", "public.search_scenes_by_visual_embedding",
}  # fmt: skip

# What `authenticated` sees of each table, view and sequence.
OWN, ALL, NOTHING = "own rows", "all rows", "nothing"
RELATIONS: Mapping[str, str] = {
    "public.api_keys": NOTHING,
    "public.embedding_spaces": ALL,
    "public.embedding_spaces_id_seq": NOTHING,
    "public.idempotency_keys": NOTHING,
    "public.jobs": NOTHING,
    "public.jobs_id_seq": NOTHING,
    "public.keyframes": OWN,
    "public.lease_tokens": NOTHING,
    "public.owners": NOTHING,
    "public.paid_calls": NOTHING,
    "public.scene_channels": OWN,
    "public.scene_embeddings": OWN,
    "public.scene_sidecars": OWN,
    "public.scenes": OWN,
    "public.searches": NOTHING,
    "public.space_scenes": OWN,
    "public.uploads": NOTHING,
    "public.utterances": OWN,
    "public.video_words": OWN,
    "public.videos": OWN,
    "public.webhook_deliveries": NOTHING,
    "public.webhook_endpoints": NOTHING,
    "public.workers": NOTHING,
    "scenebook.alembic_version": NOTHING,
    "scenebook.revision_files": NOTHING,
    "scenebook.sql_functions": NOTHING,
}


def _body(**content: Any) -> Row:
    return lambda a, own: [{"json": content}]


def _plain(a: Things, own: Things) -> list[Asked]:
    return [{}]


def _tus(**headers: str) -> Row:
    return lambda a, own: [{"headers": TUS | headers}]


def _more(a: Things, own: Things) -> list[Asked]:
    return [{"headers": TUS | BYTES | {"Upload-Offset": "5"}, "content": b"bytes"}]


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


def _searches(a: Things, own: Things) -> list[Asked]:
    bodies: list[dict[str, Any]] = [
        {"text": TEXT, "filters": {"video_ids": [str(a.video_id)]}},
        {"text": TEXT, "group_by": "video", "filters": {"video_ids": [str(a.video_id)]}},
        {"scene_id": str(a.scene_id)},
        {"text": TEXT, "scene_id": str(a.scene_id)},
        {"scene_id": str(own.scene_id), "filters": {"video_ids": [str(a.video_id)]}},
    ]
    return [{"json": body} for body in bodies]


def _image_searches(a: Things, own: Things) -> list[Asked]:
    options = [
        {"filters": {"video_ids": [str(a.video_id)]}, "threshold": -1},
        {"text": TEXT, "filters": {"video_ids": [str(a.video_id)]}},
    ]
    files = {"file": ("a.png", _picture(), "image/png")}
    return [{"files": files, "data": {"options": json.dumps(one)}} for one in options]


def _similar(a: Things, own: Things) -> list[Asked]:
    return [
        {"params": {"threshold": -1}},
        {"path": {"scene_id": own.scene_id}, "params": {"video_id": a.video_id, "threshold": -1}},
    ]


def _redelivered(a: Things, own: Things) -> list[Asked]:
    return [{}, {"path": {"endpoint_id": own.endpoint_id}}]


def calls(name: str, a: Things, own: Things) -> Iterator[dict[str, Any]]:
    """The arguments of a function in every way that the table knows."""
    for asked in FUNCTIONS[name](a, own):
        if name == "auth.uid":
            yield dict(asked)
            continue
        for owner in dict.fromkeys((a.owner_id, own.owner_id)):
            yield {**asked, "filter_user_id": owner}


def _rpc(a: Things, own: Things) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in FUNCTIONS:
        schema, _, function = name.partition(".")
        if schema == "public":
            yield from ((function, asked) for asked in calls(name, a, own))


def _posted_rpc(a: Things, own: Things) -> list[Asked]:
    return [
        {
            "path": {"function": function},
            "json": json.loads(json.dumps(asked, default=str)),
            "headers": {"Prefer": "count=exact"},
        }
        for function, asked in _rpc(a, own)
    ]


def _got_rpc(a: Things, own: Things) -> list[Asked]:
    return [
        {
            "path": {"function": function},
            "params": {
                key: "{" + ",".join(map(str, one)) + "}" if isinstance(one, list) else str(one)
                for key, one in asked.items()
            },
        }
        for function, asked in _rpc(a, own)
    ]


def _tables(a: Things, own: Things) -> list[Asked]:
    return [{"path": {"rest": "videos"}, "params": {"id": f"eq.{a.video_id}"}}]


def _uploads(path: str) -> Mapping[str, Row]:
    """The protocol at one of its two places."""
    return {
        f"GET {path}/{{upload_id}}": _plain,
        f"HEAD {path}/{{upload_id}}": _tus(),
        f"PATCH {path}/{{upload_id}}": _more,
        f"POST {path}": lambda a, own: [
            {"headers": TUS | {"Idempotency-Key": f"{a.owner_id} {path}", "Upload-Length": "10"}}
        ],
    }


# Requests; ids of the path are those that are asked for unless a row says otherwise under `path`.
ROUTES: Mapping[str, Row] = {
    **_uploads("/v1/uploads"),
    "GET /v1/videos": lambda a, own: [{}, {"params": {"title": str(a.owner_id)}}],
    "GET /v1/videos/{video_id}": _plain,
    "GET /v1/videos/{video_id}/scenes": _plain,
    "GET /v1/videos/{video_id}/transcript": lambda a, own: [{}, {"params": {"format": "vtt"}}],
    "GET /v1/videos/{video_id}/events": _plain,
    "GET /v1/videos/{video_id}/stream": lambda a, own: [{}, {"headers": {"Range": "bytes=0-9"}}],
    "HEAD /v1/videos/{video_id}/stream": _plain,
    "PATCH /v1/videos/{video_id}": _body(title="mine"),
    "POST /v1/videos/{video_id}/retry": _body(channel="visual_clip"),
    "POST /v1/videos/{video_id}/cancel": _plain,
    "POST /v1/videos/{video_id}/reprocess": _plain,
    "GET /v1/scenes/{scene_id}": _plain,
    "GET /v1/scenes/{scene_id}/similar": _similar,
    "GET /v1/keyframes/{keyframe_id}": _plain,
    "HEAD /v1/keyframes/{keyframe_id}": _plain,
    "POST /v1/search": _searches,
    "POST /v1/search/image": _image_searches,
    "GET /search/quick": lambda a, own: [{"params": {"q": TEXT}}],
    "GET /search/multimodal/quick": lambda a, own: [{"params": {"q": TEXT, "video": a.video_id}}],
    "GET /v1/webhooks": _plain,
    "POST /v1/webhooks": lambda a, own: [{"json": {"url": f"http://127.0.0.1:9/{a.owner_id}"}}],
    "GET /v1/webhooks/{endpoint_id}": _plain,
    "PATCH /v1/webhooks/{endpoint_id}": _body(enabled=True),
    "POST /v1/webhooks/{endpoint_id}/rotate": _plain,
    "POST /v1/webhooks/{endpoint_id}/test": _plain,
    "GET /v1/webhooks/{endpoint_id}/deliveries": _plain,
    "POST /v1/webhooks/{endpoint_id}/deliveries/{delivery_id}/redeliver": _redelivered,
    "GET /v1/me": _plain,
    "GET /v1/keys": _plain,
    "POST /v1/keys": _body(name="another"),
    "POST /rest/v1/rpc/{function}": _posted_rpc,
    "GET /rest/v1/rpc/{function}": _got_rpc,
    "HEAD /rest/v1/rpc/{function}": _got_rpc,
    "POST /v1/videos": lambda a, own: [an_import(a.owner_id), a_film(a.owner_id)],
    "DELETE /v1/uploads/{upload_id}": _tus(),
    "DELETE /v1/keys/{key_id}": _plain,
    "DELETE /v1/webhooks/{endpoint_id}": _plain,
    "DELETE /v1/videos/{video_id}": _plain,
}
# The same service at the place where Supabase's clients look for it.
ALIASES: Mapping[str, Row] = {
    **_uploads("/storage/v1/upload/resumable"),
    "DELETE /storage/v1/upload/resumable/{upload_id}": _tus(),
}
# About all owners, and for operators, whom OPERATORS names: nobody else is answered.
OPERATORS_ONLY: Mapping[str, Row] = {
    "GET /v1/operations": _plain,
    "GET /v1/operations/dead-letters": _plain,
    "POST /v1/operations/dead-letters/{job_id}/retry": lambda a, own: [{"path": {"job_id": 1}}],
    "GET /v1/operations/spaces": _plain,
    "GET /v1/operations/searches": _plain,
}
# Nothing that is asked here exists for anybody.
NEVER: Mapping[str, Row] = {
    f"{method} /rest/v1/{{rest}}": _tables
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
}
# Open to everybody, and the same for everybody.
OPEN = {
    "GET /livez", "GET /readyz", "GET /metrics", "GET /docs", "GET /redoc", "GET /openapi.json",
    "HEAD /openapi.json", "GET /docs/oauth2-redirect", "GET /static-offline-docs",
    "OPTIONS /v1/uploads", "OPTIONS /storage/v1/upload/resumable",
    *(f"{method} {path}" for method in ("GET", "HEAD") for path in page.PATHS), "GET /assets",
}  # fmt: skip


def routes_of(app: FastAPI) -> set[str]:
    """Every method and path of the application, as `GET /v1/videos/{video_id}`."""
    return {
        f"{method} {(route.path or '').replace(':path}', '}')}"
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ("GET",)  # without any: files of a directory
    }


def request_of(route: str, asked: Asked, a: Things) -> dict[str, Any]:
    """The request that a row asks, as the client's arguments."""
    method, _, path = route.partition(" ")
    given = dict(asked)
    names = {**a.named(), **given.pop("path", {})}
    return {"method": method, "url": path.format(**names), **given}
