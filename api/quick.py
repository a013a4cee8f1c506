"""Two searches by a GET, for curl."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api import found
from api.asked import FiltersIn, SearchIn
from api.caller import Reader
from api.fields import Text
from api.search import STATUSES, answer
from api.shared import ServicesOf
from scenebook.queries import MAX_QUERY_LENGTH, TEXT_CHANNELS, Mode

router = APIRouter(tags=["search"])

Words = Annotated[
    Text, Query(min_length=1, max_length=MAX_QUERY_LENGTH, description="What to look for.")
]
Limit = Annotated[int, Query(ge=1, le=100)]


@router.get("/search/quick", responses=STATUSES)
def quick(q: Words, caller: Reader, services: ServicesOf, limit: Limit = 10) -> found.SearchOut:
    """Scenes by what is said and written about them."""
    active = services.knowledge.channels()
    asked = [one for one in TEXT_CHANNELS if one in active]
    body = SearchIn(text=q, limit=limit, channels=asked)
    return answer(services, body, owner_id=caller.owner_id, image=None)


@router.get("/search/multimodal/quick", responses=STATUSES)
def multimodal(
    q: Words,
    caller: Reader,
    services: ServicesOf,
    mode: Mode = "balanced",
    limit: Limit = 10,
    video: Annotated[UUID | None, Query(description="Only within this video.")] = None,
) -> found.SearchOut:
    """Scenes by what is said and by what is seen; the mode says how much each counts."""
    filters = FiltersIn(video_ids=None if video is None else [video])
    body = SearchIn(text=q, limit=limit, mode=mode, filters=filters)
    return answer(services, body, owner_id=caller.owner_id, image=None)
