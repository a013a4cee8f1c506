"""The commands: each parses its words, calls the domain and prints one answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import typer
from rich.text import Text

from scenebook import logs, tracing
from scenebook.cli import shapes, tables
from scenebook.cli.find import find_files, find_video, transcript_beside
from scenebook.cli.follow import follow
from scenebook.cli.output import answer, answers, notes
from scenebook.cli.place import Place
from scenebook.cli.supervisor import Supervisor
from scenebook.cli.workplace import Workplace, require_here, servers, workplace
from scenebook.db import migrate
from scenebook.errors import Conflict, InvalidInput, InvalidMedia, NotFound
from scenebook.languages import configuration_of
from scenebook.model import SETTLED, Channel, Stage, Video, VideoStatus
from scenebook.progress import VideoProgress
from scenebook.settings import Settings, get_settings
from scenebook.videos import AddedVideo

app = typer.Typer(
    help="Search inside videos: what is said and what is seen.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Owner = Annotated[
    str | None, typer.Option("--owner", help="Owner: a UUID or a name. Default: SCENEBOOK_OWNER.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as docs/cli.md describes it.")]
VideoText = Annotated[
    str, typer.Argument(metavar="VIDEO", help="An id, the start of an id, or the title.")
]
RetriedStage = Literal[
    "fetch", "probe", "segment", "transcribe", "visual_clip", "describe", "embed_text", "finalize"
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once; do not follow progress.")]


def quiet_settings(log_level: str = "WARNING") -> Settings:
    """The settings, with fewer logs in this process unless DEBUG: the answer is what counts."""
    settings = get_settings()
    level = "DEBUG" if settings.log_level == "DEBUG" else log_level
    logs.configure(settings.model_copy(update={"log_level": level}))
    tracing.begin()  # one trace a command, for all that it leads to
    return settings


@contextmanager
def working_as(owner: str | None) -> Iterator[Workplace]:
    """The workplace of a command that needs the database itself."""
    with workplace(quiet_settings(), owner=owner) as place:
        yield place


@contextmanager
def working_anywhere(owner: str | None) -> Iterator[Place]:
    """Where an everyday command works: at SCENEBOOK_URL if it is set, else on this machine."""
    settings = quiet_settings()
    if settings.scenebook_url is not None:
        from scenebook.cli.remote import at_service  # HTTP takes a moment to load

        with at_service(settings, owner=owner) as service:
            yield service
    else:
        with workplace(settings, owner=owner) as here:
            yield here


@app.command()
def index(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR", help="What to index.")],
    transcript: Annotated[
        Path | None,
        typer.Option(help="Subtitles (.vtt, .srt). Default: the file of the video's name."),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="What is spoken, as en or de. Default: what is heard or the file says."),
    ] = None,
    no_wait: NoWait = False,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Copy videos to storage, put them on the to-do list and follow their progress."""
    if language is not None:
        configuration_of(language)  # an unknown one is refused before anything starts
    files = find_files(paths)
    if transcript is not None and len(files) > 1:
        raise InvalidInput("--transcript belongs to one video, and these are several.")
    with working_anywhere(owner) as place:
        place.require_workers()
        work = add_all(place, files, transcript=transcript, language=language)
        finish(work, place, wait=not no_wait, as_json=as_json)
    if len(work) < len(files):
        raise typer.Exit(1)


def add_all(
    place: Place, files: list[Path], *, transcript: Path | None, language: str | None
) -> list[Video]:
    """Add files; of several, one that is refused is named and does not stop the others."""
    work: list[Video] = []
    for path in files:
        try:
            one = add(place, path, transcript=transcript, language=language)
        except (InvalidInput, NotFound, Conflict) as error:
            if len(files) == 1:
                raise
            notes().print(f"{path} is left out: {error}", markup=False)
            continue
        if not one.created:
            notes().print(f"{path.name} is here already as {one.video.id}.", markup=False)
        work.append(one.video)
    return work


def add(
    place: Place, path: Path, *, transcript: Path | None = None, language: str | None = None
) -> AddedVideo:
    """Add one file for the command's owner, by default with the subtitles that lie beside it."""
    try:
        subtitles = transcript or transcript_beside(path)
        return place.add(path, transcript=subtitles, language=language)
    except OSError as error:
        raise InvalidMedia(
            f"{path.name} cannot be read or stored: {error.strerror or error}.", code="unreadable"
        ) from error


def finish(work: list[Video], place: Place, *, wait: bool, as_json: bool) -> None:
    """Follow what was put on the to-do list, or say who will do it; exit 1 if a video failed."""
    if wait:
        settle(place, work)
    elif place.own_servers is not None:
        notes().print("No worker is running: the next `scenebook up` does the work.")
    now = [show(place, video) for video in work]
    failed = any(status["status"] == VideoStatus.FAILED for status, _ in now)
    if as_json:
        answer([shape for shape, _ in now], "", as_json=True)
    else:
        answer(None, tables.videos_table([video for _, video in now]), as_json=False)
    if failed:
        raise typer.Exit(1)


def show(place: Place, video: Video) -> tuple[dict[str, Any], Video]:
    """The video as it is now, in its JSON shape and as it is."""
    progress = place.progress(video.id)
    fresh = place.video(video.id)
    return shapes.progress_shape(fresh, progress), fresh


def settle(place: Place, work: list[Video]) -> dict[UUID, VideoProgress]:
    """Follow videos until they are settled; runs a worker meanwhile if nobody else can."""
    own = place.own_servers
    idle = all(video.status in SETTLED for video in work)
    team = (
        nullcontext()
        if own is None or idle
        else Supervisor(place.settings, log_dir=own.data_dir / "log")
    )
    with team as running:
        return follow(
            place, work, console=notes(), tick=running.check_or_give_up if running else lambda: None
        )


@app.command()
def status(
    video: Annotated[
        str | None, typer.Argument(metavar="VIDEO", help="An id, its start, or the title.")
    ] = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Where all videos stand, or the stages and channels of one."""
    with working_anywhere(owner) as place:
        if video is None:
            mine = place.videos()
            answer(
                [shapes.video_shape(one) for one in mine], tables.videos_table(mine),
                as_json=as_json,
            )  # fmt: skip
            return
        found = find_video(place, video)
        progress = place.progress(found.id)
        answer(
            shapes.progress_shape(found, progress),
            tables.progress_table(found, progress),
            as_json=as_json,
        )


@app.command()
def scenes(video: VideoText, owner: Owner = None, as_json: AsJson = False) -> None:
    """The scenes of a video: times, best frames, words, and each channel's status."""
    with working_anywhere(owner) as place:
        found = find_video(place, video)
        rows = place.scenes(found.id)
        answer(
            [shapes.scene_shape(scene) for scene in rows],
            tables.scenes_table(rows, width=answers().width),
            as_json=as_json,
        )


@app.command()
def retry(
    video: VideoText,
    stage: Annotated[RetriedStage | None, typer.Option(help="Do this stage again.")] = None,
    channel: Annotated[Channel | None, typer.Option(help="Do this channel again.")] = None,
    no_wait: NoWait = False,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Do again what failed in a video, or one stage, or one channel."""
    with working_anywhere(owner) as place:
        found = find_video(place, video)
        again = place.retry(
            found.id, stage=Stage(stage) if stage is not None else None, channel=channel
        )
        if not again:
            notes().print("Nothing failed in this video; name a --stage or a --channel.")
            for one in place.switched_on(found):
                command = f"scenebook retry {str(found.id)[:8]} --channel {one}"
                notes().print(f"{one} was off for it and is on now: run `{command}`.")
            if not as_json:
                return
        now = place.video(found.id)
        finish([now], place, wait=not no_wait and again, as_json=as_json)


@app.command()
def cancel(video: VideoText, owner: Owner = None, as_json: AsJson = False) -> None:
    """Stop indexing a video; what is stored stays."""
    with working_anywhere(owner) as place:
        found = find_video(place, video)
        place.cancel(found.id)
        gone = {"id": str(found.id), "title": found.title, "status": VideoStatus.CANCELLED.value}
        answer(gone, Text(f"{found.title} ({found.id}) is cancelled."), as_json=as_json)


@app.command()
def delete(video: VideoText, owner: Owner = None, as_json: AsJson = False) -> None:
    """Hide a video from searches at once; its scenes and files are removed soon after."""
    with working_anywhere(owner) as place:
        found = find_video(place, video)
        place.delete(found.id)
        later = "when `scenebook up` runs" if place.own_servers is not None else "soon"
        answer(
            {"id": str(found.id), "title": found.title, "status": VideoStatus.DELETING},
            Text(
                f"{found.title} ({found.id}) is hidden from searches now. "
                f"Its scenes and files are removed {later}."
            ),
            as_json=as_json,
        )


@app.command(name="migrate")
def migrate_command(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL for an empty database, and change nothing.")
    ] = False,
    owner: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database to the newest schema."""
    if sql and as_json:
        raise InvalidInput("--sql prints SQL and not JSON. Leave one of the two out.")
    if sql:
        answers().print(migrate.offline_sql(), markup=False, soft_wrap=True)
        return
    configured = quiet_settings()
    require_here(configured)
    with servers(configured) as (settings, _):
        url = settings.migrations_database_url or settings.database_url
        assert url is not None
        before = migrate.current(url)
        migrate.upgrade(url)
        after = migrate.current(url)
        answer(
            {"from": before, "to": after},
            Text(f"The schema is at {after}" + (f" (it was at {before})." if before else ".")),
            as_json=as_json,
        )
