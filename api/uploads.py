"""Uploads in one request, and imports from a URL."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api import problems
from api.arriving import whole
from api.bodies import most_bytes
from api.caller import Caller, Writer
from api.fields import Title, Url, sound
from api.multipart import TRANSCRIPT, Form, receive
from api.replays import Once, OnceOf
from api.shapes import VideoOut, video_out
from api.shared import Services, ServicesOf
from api.shares import in_turn
from api.videos import Metadata
from scenebook.addresses import allowed_hosts, check_url
from scenebook.errors import InvalidInput, TooLarge, UnsupportedType
from scenebook.idempotency import Answer
from scenebook.incoming import (
    About,
    Arrived,
    add_import,
    checked_words,
    take,
    title_of,
    title_of_url,
)
from scenebook.languages import configuration_of
from scenebook.model import Video
from scenebook.quotas import Limits
from scenebook.temporary import private_directory

router = APIRouter(tags=["uploads"])


class AboutIn(BaseModel):
    """What an owner may say of a new video."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = Field(None, description="Unset: the file's name.")
    language: Annotated[str, Field(min_length=2, max_length=35)] | None = Field(
        None, description="Of its words, as en or pt-BR. Unset: as its words are recognised."
    )
    metadata: Metadata = Field(default_factory=dict, description="A JSON object of the owner's.")

    def about(self, *, otherwise: str) -> About:
        """The same for the domain. Raises InvalidInput for an unknown language."""
        language = None if self.language is None else configuration_of(self.language)
        return About(self.title or otherwise, language, self.metadata)


class ImportIn(AboutIn):
    """A video to fetch."""

    url: Url = Field(description="http or https, of a public host.")
    transcript: Annotated[str, AfterValidator(sound)] | None = Field(
        None, description="The text of a .vtt or .srt file."
    )


class FormIn(AboutIn):
    """The fields of an upload; `metadata` is JSON text."""


class AddedOut(VideoOut):
    """A video, and whether this request added it."""

    created: bool = Field(description="False: the owner had the same bytes before.")


FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The video."},
        "transcript": {"type": "string", "format": "binary", "description": "A .vtt or .srt file."},
        "title": {"type": "string", "maxLength": 500},
        "language": {"type": "string", "description": "As en or pt-BR."},
        "metadata": {"type": "string", "description": "A JSON object."},
    },
    "additionalProperties": False,
}
BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": FORM},
            "application/json": {"schema": ImportIn.model_json_schema()},
        },
    }
}


@router.post(
    "/v1/videos",
    status_code=201,
    response_model=AddedOut,
    responses={
        200: {"model": AddedOut, "description": "The owner has the same bytes already."},
        202: {"model": AddedOut, "description": "The URL will be fetched."},
        **problems.responses(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra=BODIES,
)
@most_bytes(None)
async def add_video(
    request: Request, caller: Writer, services: ServicesOf, once: OnceOf
) -> Response:
    """Upload a file as multipart/form-data, or name a URL as JSON.

    The same bytes are one video an owner: an upload of what is there answers 200 with that video.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await _import(request, caller, services, once)
    if kind == "multipart/form-data":
        return await _upload(request, caller, services, once)
    raise UnsupportedType("Send the video as multipart/form-data, or a URL as application/json.")


async def _upload(request: Request, caller: Caller, services: Services, once: Once) -> Response:
    with private_directory() as directory:
        form = await receive(
            request,
            directory / "file",
            settings=services.settings,
            names=frozenset(FormIn.model_fields),
        )
        return await in_turn(request, _store, form, caller, services, once)


def _store(form: Form, caller: Caller, services: Services, once: Once) -> Response:
    fields = {name: form.fields[name] for name in form.fields if name != TRANSCRIPT}
    about = _form_in(fields).about(otherwise=title_of(form.file_name or ""))
    words = None
    if form.transcript_name is not None:
        words = checked_words(form.fields[TRANSCRIPT], name=form.transcript_name)
    arrived = Arrived(form.path, form.size, form.content_hash, about, words)

    def act() -> Answer:
        added = take(
            services.db,
            services.storage,
            arrived,
            owner_id=caller.owner_id,
            limits=Limits.from_settings(services.settings),
        )
        return _answer(services, added.video, 201 if added.created else 200, created=added.created)

    asked = [form.content_hash, about.columns(), None if words is None else words.digest]
    return once(caller.owner_id, asked, act)


def _form_in(fields: dict[str, bytes]) -> FormIn:
    """The fields of a form, as text; an empty one is as good as none."""
    given: dict[str, Any] = {}
    for name, raw in fields.items():
        try:
            text = raw.decode()
            if text.strip():
                given[name] = json.loads(text) if name == "metadata" else text
        except (ValueError, RecursionError):
            what = "a JSON object" if name == "metadata" else "UTF-8"
            raise InvalidInput(f"The field {name} is not {what}.") from None
    try:
        return FormIn.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


async def _import(request: Request, caller: Caller, services: Services, once: Once) -> Response:
    most = services.settings.request_max_bytes
    body = await whole(request, max_bytes=most)
    if body is None:
        raise TooLarge(f"The body has more than {most} bytes.")
    try:
        wanted = ImportIn.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    return await in_turn(request, _fetch_later, wanted, caller, services, once)


def _fetch_later(wanted: ImportIn, caller: Caller, services: Services, once: Once) -> Response:
    text = (wanted.transcript or "").encode()
    words = checked_words(text, name="transcript") if text.strip() else None

    def act() -> Answer:
        check_url(wanted.url, allow_hosts=allowed_hosts(services.settings))
        video = add_import(
            services.db,
            services.storage,
            owner_id=caller.owner_id,
            url=wanted.url,
            about=wanted.about(otherwise=title_of_url(wanted.url)),
            words=words,
            limits=Limits.from_settings(services.settings),
        )
        return _answer(services, video, 202, created=True)

    return once(caller.owner_id, wanted.model_dump(mode="json"), act)


def _answer(services: Services, video: Video, status: int, *, created: bool) -> Answer:
    body = video_out(services, video).model_dump(mode="json") | {"created": created}
    return Answer(status, body, {"Location": f"/v1/videos/{video.id}"})
