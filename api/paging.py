"""Pages of lists: where the next one starts, as a signed text that clients send back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from api.shared import Services
from scenebook.errors import InvalidInput, InvalidToken

Limit = Annotated[int, Query(ge=1, le=100, description="Most items of a page.")]
PageToken = Annotated[
    str | None, Query(max_length=2000, description="`page.next_token` of the page before.")
]


def sign_page(
    services: Services,
    *,
    purpose: str,
    owner_id: UUID,
    of: Mapping[str, Any],
    at: Mapping[str, Any],
) -> str:
    """A token for the page that starts behind `at`, in the list that `of` describes."""
    return services.signer.sign(
        purpose,
        {"o": str(owner_id), "of": of, "at": at},
        ttl_s=services.settings.page_token_ttl_s,
    )


def read_page(
    services: Services, token: str | None, *, purpose: str, owner_id: UUID, of: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What `sign_page` was given as `at`; None for the first page.

    Raises InvalidToken for a token that was changed, or belongs to another list, and Expired.
    """
    if token is None:
        return None
    try:
        content = services.signer.read(purpose, token)
    except InvalidInput as error:
        raise InvalidToken(str(error)) from None
    if content["o"] != str(owner_id) or content["of"] != of:
        raise InvalidToken(
            "This page token belongs to a list with other filters. Start from the first page."
        )
    return dict(content["at"])
