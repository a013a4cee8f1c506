"""`scenebook demo`: the whole main job on one video, and then everything is stopped again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from scenebook import videos
from scenebook.cli import tables
from scenebook.cli.commands import Owner, add, app, quiet_settings, settle
from scenebook.cli.output import answers, notes
from scenebook.cli.workplace import Workplace, workplace
from scenebook.db.spaces import active_space
from scenebook.encoders.checkpoints import DEFAULT_PRETRAINED, FIGURES
from scenebook.errors import InvalidMedia, NotFound
from scenebook.model import SETTLED, Channel, Scene, SearchChannel, Video, VideoStatus
from scenebook.settings import Settings

MEDIA = Path(__file__).resolve().parents[2] / "tests" / "media"
SHIPPED = MEDIA / "composite_dev.mp4"
# Generated: what each of its scenes shows is known by construction.
DRAWN = MEDIA / "figures.mp4"
# None of these words is in the transcript as it stands: the search is by meaning.
SHIPPED_QUERIES = (
    "an unpleasant smell in a pub",
    "eating Mexican food",
    "a president's speech about duty to the nation",
)
# Each is true of one scene alone; of the first two, only the order tells them apart.
DRAWN_QUERIES = (
    "a red circle left of a blue square",
    "a blue square left of a red circle",
    "a striped orange ring in the top left corner",
)
NOT_DRAWN = (
    "The search by what is seen is shown on servers of the demo's own only: its model would become "
    "the active one of your database. Unset DATABASE_URL to see it.\n"
)
HITS = 3
QUERY_WORDS = 8


@app.command()
def demo(
    video: Annotated[
        Path | None, typer.Argument(metavar="VIDEO", help="A video of yours; default: ours.")
    ] = None,
    owner: Owner = None,
) -> None:
    """Index a video, show its scenes, search in it, and stop what was started.

    Without VIDEO also a generated one, which is searched by what is seen.
    """
    started = time.monotonic()
    path = video or SHIPPED
    if not path.is_file():
        raise NotFound(f"There is no file {path}. Name a video: `scenebook demo FILE`.")
    settings = quiet_settings()
    draws = video is None and settings.database_url is None
    say = answers()
    with workplace(with_figures(settings) if draws else settings, owner=owner) as place:
        say.rule("1. Index")
        found = indexed(place, path)
        drawn = indexed(place, DRAWN) if draws else None
        scenes = videos.scenes_of(place.database, owner_id=place.owner_id, video_id=found.id)
        say.rule("2. Scenes")
        say.print(tables.scenes_table(scenes, width=say.width))
        say.rule("3. Search by what is said")
        show_searches(place, found, scenes, shipped=video is None)
        if drawn is not None:
            say.rule("4. Search by what is seen")
            show_drawn(place, drawn)
        elif video is None:
            say.print(NOT_DRAWN)
        say.rule("Which model did what")
        say.print(models_line(place))
    where = f" Its data stays in {place.settings.scenebook_data_dir}." if place.own_servers else ""
    took = time.monotonic() - started
    say.print(Text(f"\nDone in {took:.0f} s; everything that was started is stopped.{where}"))


def with_figures(settings: Settings) -> Settings:
    """The settings with the shipped CLIP model, and servers of the demo's own.

    The first model whose vectors are stored becomes the active one of its channel; in the
    directory that `scenebook up` uses it would stand in the way of the one that is wanted there.
    """
    return settings.model_copy(
        update={
            "clip_enabled": True,
            "clip_model_name": FIGURES,
            "clip_pretrained": DEFAULT_PRETRAINED,
            "scenebook_data_dir": settings.scenebook_data_dir / "demo",
        }
    )


def indexed(place: Workplace, path: Path) -> Video:
    """The video of this file, indexed now unless the same bytes were before."""
    added = add(place, path)
    video = added.video
    if added.created:
        notes().print(f"{path.name} is stored as {video.id}.", markup=False)
    elif video.status in (VideoStatus.FAILED, VideoStatus.CANCELLED):
        notes().print(f"{path.name} is here already and was not indexed: trying again.")
        videos.retry_video(place.database, owner_id=place.owner_id, video_id=video.id)
        video = videos.get_video(place.database, owner_id=place.owner_id, video_id=video.id)
    elif video.status in SETTLED and Channel.VISUAL_CLIP in place.switched_on(video):
        notes().print(f"{path.name} is here already: embedding its pictures too.", markup=False)
        videos.retry_video(
            place.database,
            owner_id=place.owner_id,
            video_id=video.id,
            channel=Channel.VISUAL_CLIP,
        )
        video = videos.get_video(place.database, owner_id=place.owner_id, video_id=video.id)
    else:
        notes().print(f"{path.name} is here already as {video.id}: not indexed again.")
    settle(place, [video])
    video = videos.get_video(place.database, owner_id=place.owner_id, video_id=video.id)
    if video.status is VideoStatus.FAILED:
        raise InvalidMedia(
            f"{path.name} could not be indexed ({video.failed_stage}): {video.reason} "
            "`scenebook doctor` checks this machine."
        )
    return video


def show_searches(place: Workplace, video: Video, scenes: list[Scene], *, shipped: bool) -> None:
    """Ask three questions and print the hits of each."""
    from scenebook.cli.searching import search  # takes a second that other commands need not wait

    queries = SHIPPED_QUERIES if shipped else own_words(scenes)
    if not queries:
        answers().print(
            "Nobody speaks in this video and nothing describes it, so there are no words to "
            "search. Set CLIP_ENABLED=true to search its pictures, or OPENAI_API_KEY to have "
            "them described."
        )
        return
    with notes().status("Loading the text model…"):
        # The shipped CLIP model knows drawings, and would guess at a real video.
        channels = [SearchChannel.TRANSCRIPT] if shipped else None
        found = search(place, queries, channels=channels, limit=HITS, video_id=video.id)
    for text, one in zip(queries, found, strict=True):
        answers().print(tables.hits_list(text, one))
        answers().print()


def own_words(scenes: list[Scene]) -> tuple[str, ...]:
    """Three queries from the video's own longest scenes, for a video we know nothing of."""
    texts = [scene.transcript or scene.description or "" for scene in scenes]
    longest = sorted((text for text in texts if text.strip()), key=len, reverse=True)[:3]
    return tuple(" ".join(text.split()[:QUERY_WORDS]) for text in longest)


def show_drawn(place: Workplace, video: Video) -> None:
    """Ask what the generated video shows, in words alone: nobody speaks in it."""
    from scenebook.cli.searching import search

    answers().print(
        f"{video.title} was generated: {video.scene_count} drawings, whose content is known.\n"
    )
    with notes().status("Loading the CLIP model…"):
        found = search(
            place,
            DRAWN_QUERIES,
            channels=[SearchChannel.VISUAL_CLIP],
            limit=HITS,
            video_id=video.id,
        )
    for text, one in zip(DRAWN_QUERIES, found, strict=True):
        answers().print(tables.hits_list(text, one))
        answers().print()


def models_line(place: Workplace) -> Text:
    """The model of each channel that has vectors, and what the shipped one is good for."""
    with place.database.transaction(owner_id=place.owner_id) as tx:
        active = {channel: active_space(tx, channel) for channel in Channel}
    lines = [
        f"{channel}: {stored.space.model}, {stored.space.dimensions} dimensions"
        for channel, stored in active.items()
        if stored is not None
    ]
    if (seen := active[Channel.VISUAL_CLIP]) is not None and seen.space.model == FIGURES:
        lines.append(
            f"{FIGURES} is a small model that this project trained on drawings. It knows shapes, "
            "colours, numbers and places, and nothing of photographs: for your videos set "
            "CLIP_ENABLED=true, which takes ViT-B-32 from the model hub."
        )
    return Text("\n".join(lines))
