"""Resumable uploads by the tus protocol 1.0.0, here and where Supabase's storage has them."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime
from enum import StrEnum
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import MutableHeaders

from api import problems
from api.arriving import Interrupted, arriving
from api.bodies import most_bytes
from api.caller import Caller, Reader, Writer
from api.replays import REPLAYED, OnceOf
from api.shared import Services, ServicesOf
from api.shares import in_turn
from api.tus_metadata import about_in, name_in, read_metadata
from api.tus_page import BYTES, CONTENT, CREATION, HEADERS, OFFSET, SPOKEN, VERSION
from scenebook import uploads
from scenebook.db.uploads import Upload
from scenebook.errors import InvalidInput, TooLarge, TooSlow, UnsupportedType, WrongVersion
from scenebook.idempotency import Answer
from scenebook.quotas import Limits
from scenebook.uploads import PART_BYTES

EXTENSIONS = "creation,creation-with-upload,expiration,termination"
EVERYWHERE = (400, 401, 403, 404, 410, 412, 413, 422, 429, 503)


class State(StrEnum):
    """How far an upload is."""

    RECEIVING = "receiving"
    JOINING = "joining"
    COMPLETE = "complete"


class UploadOut(BaseModel):
    """A resumable upload."""

    id: UUID
    state: State
    bytes: int = Field(description="Of the whole file.")
    received: int = Field(description="Bytes that are stored: where to go on.")
    expires_at: str
    video_id: UUID | None = Field(description="Once it is complete.")


def speaks_tus(request: Request) -> None:
    """Say which version is spoken, in errors too. Raises WrongVersion for another one."""
    said = getattr(request.state, "headers", {})
    request.state.headers = said | {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
    if request.headers.get("tus-resumable") != VERSION:
        raise WrongVersion(f"Send the header `Tus-Resumable: {VERSION}`.")


resumable = APIRouter(tags=["resumable uploads"])
PROTOCOL = [Depends(speaks_tus)]


@resumable.options("", status_code=204, responses={204: {"description": "What is spoken here."}})
def tus_options(services: ServicesOf) -> Response:
    """The version, the extensions and the largest size."""
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": VERSION,
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(services.settings.media_max_bytes),
        },
    )


@resumable.post(
    "",
    status_code=201,
    response_model=UploadOut,
    dependencies=PROTOCOL,
    responses={
        201: {"description": "Go on at `Location`.", "headers": HEADERS},
        **problems.responses(*EVERYWHERE, 408, 409, 415),
    },
    openapi_extra={"parameters": CREATION, "requestBody": CONTENT},
)
@most_bytes(None)
async def begin_upload(
    request: Request, caller: Writer, services: ServicesOf, once: OnceOf
) -> Response:
    """Begin an upload: `Upload-Length`, and `Upload-Metadata` with filename, title, language.

    A body of `application/offset+octet-stream` is its first part.
    """
    size = _number(request, "upload-length")
    metadata = read_metadata(request.headers.get("upload-metadata", ""))
    about = about_in(metadata).about(otherwise=name_in(metadata))
    base = str(request.url.path).rstrip("/")

    def act() -> Answer:
        settings = services.settings
        made = uploads.create(
            services.db,
            owner_id=caller.owner_id,
            size=size,
            about=about,
            max_bytes=settings.media_max_bytes,
            ttl_s=settings.upload_ttl_s,
            limits=Limits.from_settings(settings),
        )
        body = upload_out(made).model_dump(mode="json")
        return Answer(201, body, headers_of(made) | {"Location": f"{base}/{made.id}"})

    response = await in_turn(request, once, caller.owner_id, [size, about.columns()], act)
    if request.headers.get("content-type") == BYTES:
        upload_id = UUID(response.headers["location"].rpartition("/")[2])
        now = await _first_part(
            request, caller, services, upload_id, again=REPLAYED in response.headers
        )
        MutableHeaders(raw=response.raw_headers).update(headers_of(now))
    return response


@resumable.patch(
    "/{upload_id}",
    status_code=204,
    dependencies=PROTOCOL,
    responses={
        204: {"description": "Stored so far.", "headers": HEADERS},
        **problems.responses(*EVERYWHERE, 408, 409, 415),
    },
    openapi_extra={"parameters": [SPOKEN, OFFSET], "requestBody": CONTENT | {"required": True}},
)
@most_bytes(None)
async def continue_upload(
    request: Request, caller: Writer, services: ServicesOf, upload_id: UUID
) -> Response:
    """Add bytes at `Upload-Offset`; the last ones make a video of it.

    What arrived before a connection breaks is kept. Of two requests at once the later one goes on.
    """
    if request.headers.get("content-type") != BYTES:
        raise UnsupportedType(f"Send the bytes as {BYTES}.")
    offset = _number(request, "upload-offset")
    now = await _receive(request, caller, services, upload_id, offset)
    return Response(status_code=204, headers=headers_of(now))


@resumable.head(
    "/{upload_id}",
    response_class=Response,
    dependencies=PROTOCOL,
    responses={
        200: {"description": "Where the upload stands.", "headers": HEADERS},
        **problems.responses(*EVERYWHERE, 409),
    },
    openapi_extra={"parameters": [SPOKEN]},
)
def upload_offset(caller: Writer, services: ServicesOf, upload_id: UUID) -> Response:
    """Where to go on; an upload that is whole is a video when this answers."""
    now = _finish(caller, services, upload_id)
    return Response(
        headers=headers_of(now) | {"Upload-Length": str(now.bytes), "Cache-Control": "no-store"}
    )


@resumable.get("/{upload_id}", responses=problems.responses(*EVERYWHERE))
def read_upload(caller: Reader, services: ServicesOf, upload_id: UUID) -> UploadOut:
    """How far an upload is, as JSON; this one needs no header of the protocol."""
    return upload_out(
        uploads.get_upload(services.db, owner_id=caller.owner_id, upload_id=upload_id)
    )


@resumable.delete(
    "/{upload_id}",
    status_code=204,
    dependencies=PROTOCOL,
    responses=problems.responses(*EVERYWHERE),
    openapi_extra={"parameters": [SPOKEN]},
)
def give_upload_up(caller: Writer, services: ServicesOf, upload_id: UUID) -> Response:
    """Remove what has arrived; a video that came of it stays."""
    uploads.terminate(services.db, services.storage, owner_id=caller.owner_id, upload_id=upload_id)
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


async def _first_part(
    request: Request, caller: Caller, services: Services, upload_id: UUID, *, again: bool
) -> Upload:
    """Store the body of a creation; of one that is repeated, only if nothing arrived before."""
    if again:
        now = await in_turn(
            request, uploads.get_upload, services.db, owner_id=caller.owner_id, upload_id=upload_id
        )
        if now.received:
            return now
    return await _receive(request, caller, services, upload_id, 0)


async def _receive(
    request: Request, caller: Caller, services: Services, upload_id: UUID, offset: int
) -> Upload:
    """Store a body part by part, also what came before it broke off."""
    writing = await in_turn(
        request,
        uploads.write_at,
        services.db,
        services.storage,
        owner_id=caller.owner_id,
        upload_id=upload_id,
        offset=offset,
        ttl_s=services.settings.upload_ttl_s,
    )
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in arriving(request):
            pieces.append(piece)
            size += len(piece)
            if writing.received + size > writing.upload.bytes:
                raise TooLarge("The body goes beyond Upload-Length.")
            if size >= PART_BYTES:
                await in_turn(request, writing.add, b"".join(pieces))
                pieces.clear()
                size = 0
    except (Interrupted, TooSlow):
        await in_turn(request, writing.add, b"".join(pieces))
        raise
    await in_turn(request, writing.add, b"".join(pieces))
    return await in_turn(request, _finish, caller, services, upload_id)


def _finish(caller: Caller, services: Services, upload_id: UUID) -> Upload:
    return uploads.finish(
        services.db,
        services.storage,
        owner_id=caller.owner_id,
        upload_id=upload_id,
        limits=Limits.from_settings(services.settings),
    )


def headers_of(upload: Upload) -> dict[str, str]:
    """What every answer about an upload says."""
    said = {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(upload.received),
        "Upload-Expires": format_datetime(upload.expires_at.astimezone(UTC), usegmt=True),
    }
    return said if upload.video_id is None else said | {"Scenebook-Video-Id": str(upload.video_id)}


def upload_out(upload: Upload) -> UploadOut:
    """An upload as JSON."""
    state = State.RECEIVING if upload.received < upload.bytes else State.JOINING
    return UploadOut(
        id=upload.id,
        state=state if upload.video_id is None else State.COMPLETE,
        bytes=upload.bytes,
        received=upload.received,
        expires_at=upload.expires_at.isoformat(),
        video_id=upload.video_id,
    )


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise InvalidInput(f"The header {header.title()} must be a number of bytes.")
    return int(text)


router = APIRouter()
router.include_router(resumable, prefix="/v1/uploads")
# Supabase's clients expect the protocol here; it is the same service.
router.include_router(resumable, prefix="/storage/v1/upload/resumable", include_in_schema=False)
