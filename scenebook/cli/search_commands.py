"""`scenebook search` and `similar`: scenes by words, by a picture, or by another scene."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from scenebook.cli import shapes, tables
from scenebook.cli.commands import AsJson, Owner, app, working_anywhere
from scenebook.cli.find import find_video
from scenebook.cli.output import answer, notes
from scenebook.cli.place import Place
from scenebook.errors import InvalidInput, InvalidQuery, NotFound
from scenebook.model import SearchChannel

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.search import Query

DEFAULT_WEIGHT = 0.5
PARTS = ("text", "image")
MAX_PICTURE_BYTES = 100_000_000

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most hits.")]
Within = Annotated[str | None, typer.Option(help="Only within this video.")]
Threshold = Annotated[
    float | None,
    typer.Option(min=-1, max=1, help="Least cosine similarity. Default: what suits the query."),
]


@app.command(name="search")
def search_command(
    text: Annotated[str | None, typer.Argument(help="What to look for, in your words.")] = None,
    image: Annotated[
        Path | None, typer.Option(help="A picture to look for: JPEG, PNG, WebP, GIF or BMP.")
    ] = None,
    channel: Annotated[
        list[SearchChannel] | None,
        typer.Option(help="Ask only this channel; repeat for several. Default: all in use."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="How much `text`, `image` or a channel counts; repeat for several.",
        ),
    ] = None,
    limit: Limit = 10,
    video: Within = None,
    threshold: Threshold = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Find scenes by text, by a picture, or by both."""
    weights = _weights(weight or [])
    query = _query(text, image, weights)
    of_channels = {SearchChannel(name): one for name, one in weights.items() if name not in PARTS}
    with working_anywhere(owner) as place, notes().status("Searching…"):
        require_counting(channel or place.suitable(query), of_channels)
        found = place.search(
            query,
            channels=channel,
            limit=limit,
            video_id=find_video(place, video).id if video is not None else None,
            threshold=threshold,
            weights=of_channels,
        )
        title = " + ".join(one for one in (text, image.name if image else None) if one)
        shape = shapes.answer_shape(text, found, image=None if image is None else str(image))
        answer(shape, tables.hits_list(title, found), as_json=as_json)


@app.command()
def similar(
    scene: Annotated[
        str, typer.Argument(metavar="SCENE", help="A scene's id, or VIDEO:INDEX as in holiday:12.")
    ],
    limit: Limit = 10,
    video: Within = None,
    other_videos: Annotated[
        bool, typer.Option("--other-videos", help="Leave out the scene's own video.")
    ] = False,
    threshold: Threshold = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Find the scenes that look most like a given one."""
    with working_anywhere(owner) as place:
        found = place.similar(
            _scene_id(place, scene),
            limit=limit,
            video_id=find_video(place, video).id if video is not None else None,
            other_videos_only=other_videos,
            threshold=threshold,
        )
        answer(
            {"scene": scene, "hits": [shapes.hit_shape(hit) for hit in found.hits]},
            tables.hits_list(f"like {scene}", found),
            as_json=as_json,
        )


def _query(text: str | None, image: Path | None, weights: dict[str, float]) -> Query:
    from scenebook.search import Query

    if text is None and image is None:
        raise InvalidQuery("There is nothing to look for. Give a text, --image, or both.")
    if (text is None or image is None) and not weights.keys().isdisjoint(PARTS):
        raise InvalidQuery(
            "The weights of text and image share one query between the two. Give a text and an "
            "--image."
        )
    return Query(
        text,
        None if image is None else _picture(image),
        text_weight=weights.get("text", DEFAULT_WEIGHT),
        image_weight=weights.get("image", DEFAULT_WEIGHT),
    )


def _picture(path: Path) -> bytes:
    """The bytes of a picture's file; what they are worth, the inference child finds out."""
    if path.is_dir():
        raise InvalidQuery(f"{path} is a directory. Name one picture in it.")
    if not path.exists():
        raise InvalidQuery(f"There is no file {path}.")
    if not path.is_file():
        raise InvalidQuery(f"{path} is no regular file.")
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise InvalidQuery(f"{path} is larger than {MAX_PICTURE_BYTES // 1_000_000} MB.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidQuery(f"{path} cannot be read: {error.strerror or error}.") from error


def _weights(given: list[str]) -> dict[str, float]:
    """NAME=NUMBER as numbers by name; each from 0, each name once."""
    known = (*PARTS, *SearchChannel)
    weights: dict[str, float] = {}
    for one in given:
        name, _, number = one.partition("=")
        if name not in known:
            raise InvalidInput(f"--weight {one}: {name!r} is none of {', '.join(known)}.")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise InvalidInput(f"--weight {one}: write it as {name}=NUMBER, with a number from 0.")
        if name in weights:
            raise InvalidInput(f"--weight {one}: {name} has a weight already.")
        weights[name] = value
    return weights


def require_counting(asked: list[SearchChannel], weights: dict[SearchChannel, float]) -> None:
    """Raise InvalidInput for weights of channels that are not asked, or that leave none."""
    idle = [channel for channel in weights if channel not in asked]
    if idle:
        raise InvalidInput(f"--weight {idle[0]}: that channel is not asked. Name it as --channel.")
    if all(weights.get(channel) == 0 for channel in asked):
        raise InvalidInput("Every channel that is asked has the weight 0. Give one a larger one.")


def _scene_id(place: Place, text: str) -> UUID:
    """The id that a person meant by an id, or by a video and a scene's number in it."""
    try:
        return UUID(text)
    except ValueError:
        pass
    video, _, index = text.rpartition(":")
    if not video or not index.isdecimal():
        raise InvalidInput(f"{text!r} is no scene. Write an id, or VIDEO:INDEX as in holiday:12.")
    found = find_video(place, video)
    for scene in place.scenes(found.id):
        if scene.scene_index == int(index):
            return scene.id
    raise NotFound(f"{found.title} has no scene {index}; `scenebook scenes VIDEO` lists them.")
