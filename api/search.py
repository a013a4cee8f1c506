"""Search by words, pictures and scenes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import ValidationError

from api import found, problems
from api.asked import FiltersIn, SearchIn
from api.bodies import most_bytes
from api.caller import Reader
from api.paging import read_page, sign_page
from api.shared import Services, ServicesOf
from scenebook import metrics, queries, search, similar
from scenebook.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidQuery,
    ModelUnavailable,
    OutOfReach,
    ScenebookError,
    TooLarge,
)
from scenebook.hits import SearchAnswer
from scenebook.model import Channel, SearchChannel
from scenebook.queries import Grouping, Position
from scenebook.search_log import Searched

router = APIRouter(tags=["search"])

NO_MODEL = "Its model cannot be asked now. Search again in a moment."
STATUSES = problems.responses(400, 401, 403, 404, 410, 413, 422, 429, 500, 503, 504)


@router.post("/v1/search", responses=STATUSES)
def search_scenes(body: SearchIn, caller: Reader, services: ServicesOf) -> found.SearchOut:
    """Scenes that answer a text, a picture or a scene, best first."""
    image = None if body.image is None else _decoded(body.image)
    return answer(services, body, owner_id=caller.owner_id, image=image)


@router.post("/v1/search/image", responses=STATUSES)
@most_bytes("image_max_bytes")
def search_by_image(
    caller: Reader,
    services: ServicesOf,
    file: Annotated[UploadFile, File(description="JPEG, PNG, WebP, GIF or BMP.")],
    options: Annotated[
        str, Form(max_length=100_000, description="The body of POST /v1/search, as JSON.")
    ] = "{}",
) -> found.SearchOut:
    """Scenes that look like an uploaded picture, best first; with `text`, both count."""
    try:
        body = SearchIn.model_validate_json(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"The options are not valid: {where}: {first['msg']}.") from None
    if body.image is not None:
        raise InvalidQuery("The picture is the uploaded file. Leave `image` out of the options.")
    most = services.settings.image_max_bytes
    image = file.file.read(most + 1)
    if len(image) > most:
        raise TooLarge(f"The picture is larger than {most} bytes (IMAGE_MAX_BYTES).")
    return answer(services, body, owner_id=caller.owner_id, image=image)


@router.get("/v1/scenes/{scene_id}/similar", responses=STATUSES)
def similar_scenes(
    scene_id: UUID,
    caller: Reader,
    services: ServicesOf,
    channel: Channel = Channel.VISUAL_CLIP,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    video_id: UUID | None = None,
    other_videos_only: bool = False,
    threshold: Annotated[float | None, Query(ge=-1, le=1, allow_inf_nan=False)] = None,
) -> found.SearchOut:
    """Scenes most like one of them, without that one; needs no model."""
    began = time.perf_counter()
    owner_id = caller.owner_id
    got = similar.similar_scenes(
        services.db,
        owner_id=owner_id,
        scene_id=scene_id,
        channel=channel,
        limit=limit,
        video_id=video_id,
        other_videos_only=other_videos_only,
        threshold=threshold,
    )
    applied = {"channels": [channel], "limit": limit, "other_videos_only": other_videos_only}
    return _out(services, got, applied, began, owner_id=owner_id, next_token=None)


def answer(
    services: Services, body: SearchIn, *, owner_id: UUID, image: bytes | None
) -> found.SearchOut:
    """One search of an owner, with what its answer is worth."""
    began = time.perf_counter()
    query = search.Query(
        body.text, image, body.text_weight, body.image_weight, scene_id=body.scene_id
    )
    channels = body.channels or _suitable(services, query, seen=_sees(body))
    weights = body.weights or queries.shared_weights(_vision_share(body), channels)
    if body.rerank and (services.reranker is None or not body.text):
        raise InvalidQuery(
            "Re-ranking reads a text, and needs RERANK_MODEL on the server. Leave `rerank` out."
        )
    fingerprint = _fingerprint(body, image)
    place = read_page(
        services, body.page_token, purpose="search", owner_id=owner_id, of={"q": fingerprint}
    )
    got = search.search(
        services.db,
        services.encoders.of(owner_id=owner_id),
        owner_id=owner_id,
        query=query,
        channels=channels,
        limit=body.limit,
        threshold=body.threshold,
        weights=weights,
        filters=_filters(body.filters),
        grouping=Grouping(body.group_by, body.max_per_video),
        after=None if place is None else _position(place),
        reranker=services.reranker if body.rerank else None,
        rerank_candidates=services.settings.rerank_candidates,
        explain=_explained,
    )
    next_token = None
    if got.next is not None:
        next_token = sign_page(
            services,
            purpose="search",
            owner_id=owner_id,
            of={"q": fingerprint},
            at=_place(got.next),
        )
    applied = _applied(body, channels, weights)
    return _out(services, got, applied, began, owner_id=owner_id, next_token=next_token)


def _explained(error: ScenebookError) -> str:
    """What an owner is told; where models lie and how to mend them is in the log."""
    operators = isinstance(error, ModelUnavailable | OutOfReach | ConfigurationError)
    return NO_MODEL if operators else str(error)


def _vision_share(body: SearchIn) -> float:
    """The share of what is seen: as given, else the mode's."""
    given = body.vision_share
    return queries.VISION_SHARES[body.mode] if given is None else given


def _sees(body: SearchIn) -> bool:
    """Whether a share of what is seen was asked for: without any, the answer must say so."""
    named = "mode" in body.model_fields_set or body.vision_share is not None
    return named and not body.weights and _vision_share(body) > 0


def _suitable(services: Services, query: search.Query, *, seen: bool) -> list[SearchChannel]:
    """The channels that have something and that a part of the query is for.

    seen: visual_clip in any case.
    """
    if not query.text or not query.text.strip():
        return [SearchChannel.VISUAL_CLIP]
    active = services.knowledge.channels()
    channels = [one for one in SearchChannel if one in active]
    if (seen or query.pictured) and SearchChannel.VISUAL_CLIP not in channels:
        channels.append(SearchChannel.VISUAL_CLIP)
    return channels


def _applied(
    body: SearchIn,
    channels: Sequence[SearchChannel],
    weights: Mapping[SearchChannel, float],
) -> dict[str, Any]:
    """The options in force, the defaults among them."""
    total = sum(weights.get(one, 0) for one in channels)
    return {
        "channels": channels,
        "weights": {one: weights.get(one, 0) / total if total else 0 for one in channels},
        "mode": None if body.weights or body.vision_share is not None else body.mode,
        "vision_share": None if body.weights else _vision_share(body),
        "threshold": body.threshold,
        "filters": body.filters.model_dump(mode="json", exclude_none=True),
        "group_by": body.group_by,
        "max_per_video": body.max_per_video,
        "rerank": body.rerank,
        "limit": body.limit,
    }


def _filters(given: FiltersIn) -> search.Filters:
    values = given.model_dump(exclude_none=True)
    for name in ("video_ids", "tags"):
        if name in values:
            values[name] = tuple(values[name])
    return search.Filters(**values)


def _decoded(image: str) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidQuery("`image` is not base64. Or send the file to /v1/search/image.") from None


def _fingerprint(body: SearchIn, image: bytes | None) -> str:
    """What has to be the same from page to page."""
    same = body.model_dump(mode="json", exclude={"page_token", "limit", "image"})
    picture = hashlib.sha256(image or b"").hexdigest()
    return hashlib.sha256(json.dumps([same, picture], sort_keys=True).encode()).hexdigest()[:32]


def _place(at: Position) -> dict[str, Any]:
    return {
        "t": at.as_of.isoformat(),
        "s": at.score,
        "i": str(at.scene_id),
        "n": at.shown,
    }


def _position(place: dict[str, Any]) -> Position:
    return Position(datetime.fromisoformat(place["t"]), place["s"], UUID(place["i"]), place["n"])


def _measure(got: SearchAnswer, took_ms: float) -> None:
    metrics.SEARCH_SECONDS.observe(took_ms / 1000)
    metrics.EMPTY_SEARCHES.inc(not got.hits)
    for name in got.degraded:
        metrics.DEGRADED_SEARCHES.labels(name).inc()
    for name, steps in got.timing_ms.items():
        for step, ms in steps.items():
            metrics.SEARCH_CHANNEL_SECONDS.labels(name, step).observe(ms / 1000)


def _out(
    services: Services,
    got: SearchAnswer,
    applied: dict[str, Any],
    began: float,
    *,
    owner_id: UUID,
    next_token: str | None,
) -> found.SearchOut:
    """The answer, logged and counted."""
    covered = services.knowledge.coverage(owner_id=owner_id)
    took_ms = 1000 * (time.perf_counter() - began)
    degraded = tuple(got.degraded)
    _measure(got, took_ms)
    services.search_log.add(
        Searched(owner_id, round(took_ms, 2), got.timing_ms, degraded, len(got.hits))
    )
    return found.SearchOut(
        data=[found.hit_out(services, hit, owner_id=owner_id) for hit in got.hits],
        page=found.SearchPageOut(
            next_token=next_token,
            expires_in_s=services.settings.page_token_ttl_s if next_token else None,
        ),
        applied=applied,
        degraded=[
            found.DegradedOut(channel=name, reason=why) for name, why in got.degraded.items()
        ],
        search="exact" if got.exact else "approximate",
        coverage=dict(covered.with_channel),
        pool=found.PoolOut(
            videos=covered.videos, unsettled=covered.unsettled, scenes=covered.scenes
        ),
        timing_ms=found.TimingOut(
            total=round(took_ms, 2), channels={name: dict(ms) for name, ms in got.timing_ms.items()}
        ),
        corrections={word: list(near) for word, near in got.corrections.items()},
    )
