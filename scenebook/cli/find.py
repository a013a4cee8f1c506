"""Finds what a person meant: a video by id, by the start of an id or by title; files by folder."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from scenebook.cli.place import Place
from scenebook.errors import InvalidInput, NotFound
from scenebook.model import Video, VideoStatus

# What `index DIR` picks up. A file that is named itself is tried whatever its name.
VIDEO_SUFFIXES = frozenset(
    {
        ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
        ".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv",
    }
)  # fmt: skip
TRANSCRIPT_SUFFIXES = (".vtt", ".srt")
SHORTEST_PREFIX = 4


def find_video(place: Place, text: str) -> Video:
    """The owner's video with this id, id prefix or exact title.

    Raises NotFound when there is none and InvalidInput when there are several.
    """
    mine = [video for video in place.videos() if video.status is not VideoStatus.DELETING]
    found = [video for video in mine if _is_called(video, text)]
    if not found:
        raise NotFound(f"There is no video called {text!r}. `scenebook status` lists yours.")
    if len(found) > 1:
        choices = ", ".join(f"{video.id} ({video.title})" for video in found[:5])
        raise InvalidInput(f"{text!r} can mean several videos: {choices}. Use an id.")
    return found[0]


def _is_called(video: Video, text: str) -> bool:
    wanted = text.strip()
    try:
        return video.id == UUID(wanted)
    except ValueError:
        pass
    if len(wanted) >= SHORTEST_PREFIX and str(video.id).startswith(wanted.lower()):
        return True
    return wanted in (video.title, Path(video.title).stem) or Path(wanted).name == video.title


def find_files(paths: list[Path]) -> list[Path]:
    """The files to index: each file named, and the videos below each directory, in order."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                one
                for one in path.rglob("*")
                if one.suffix.lower() in VIDEO_SUFFIXES and one.is_file()
            )
            if not inside:
                raise NotFound(f"There is no video in {path}. Name the files to index.")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise NotFound(f"There is no file {path}.")
    return list(dict.fromkeys(files))


def transcript_beside(video: Path) -> Path | None:
    """The subtitle file with the video's name, where there is one."""
    for suffix in TRANSCRIPT_SUFFIXES:
        beside = video.with_suffix(suffix)
        if beside.is_file():
            return beside
    return None
