"""Tables for people: videos, one video, scenes and hits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scenebook.model import COMPLETE, Channel, ChannelState, ChannelStatus, Scene, Video
from scenebook.videos import Progress

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.search import SearchAnswer

STATUS_STYLE = {"ready": "green", "partial": "yellow", "failed": "red", "cancelled": "dim"}
WORDS = 60


def clock(ms: int | None) -> str:
    """Milliseconds as m:ss.s, or h:mm:ss.s from an hour on."""
    if ms is None:
        return "–"
    tenths = round(ms / 100)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def excerpt(text: str | None, length: int = WORDS) -> str:
    """The start of a text on one line."""
    line = " ".join((text or "").split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def videos_table(videos: Sequence[Video]) -> RenderableType:
    """All videos of an owner."""
    if not videos:
        return Text("No videos yet. Add one with `scenebook index FILE`.")
    table = Table("id", "title", "status", "length", "scenes", "why", box=None, pad_edge=False)
    for video in videos:
        table.add_row(
            str(video.id)[:8],
            escape(excerpt(video.title, 40)),
            _status(video.status),
            clock(video.duration_ms),
            str(video.scene_count),
            escape(video.reason or ""),
        )
    return table


def progress_table(video: Video, progress: Progress) -> RenderableType:
    """One video: its stages, and how its channels stand."""
    head = Text.assemble(
        (video.title, "bold"), f"  {video.id}  ", (progress.status, _style(progress.status))
    )
    lines: list[RenderableType] = [head]
    if progress.reason:
        lines.append(Text(progress.reason))
    if progress.eta_s is not None:
        lines.append(Text(f"about {progress.eta_s:.0f} s left"))
    stages = Table("stage", "state", "done", "why", box=None, pad_edge=False)
    for stage in progress.stages:
        done = f"{stage.done}/{stage.total}"
        stages.add_row(stage.stage, stage.state, done, escape(stage.error or ""))
    channels = Table("channel", "scenes", box=None, pad_edge=False)
    for channel, counts in progress.channel_counts.items():
        channels.add_row(channel, ", ".join(f"{count} {name}" for name, count in counts.items()))
    return Group(*lines, Text(), stages, Text(), channels)


def scenes_table(scenes: Sequence[Scene]) -> RenderableType:
    """The scenes of one video, and why a channel is missing where it is."""
    if not scenes:
        return Text("No scenes yet. `scenebook status VIDEO` shows how far it is.")
    table = Table(
        "scene", "time", "best frame", "quality", "words", *[c.value for c in Channel],
        box=None, pad_edge=False,
    )  # fmt: skip
    for scene in scenes:
        best = scene.keyframes[0] if scene.keyframes else None
        quality = best.quality.get("quality_score") if best else None
        states = {state.channel: state for state in scene.channels}
        table.add_row(
            str(scene.scene_index),
            f"{clock(scene.start_ms)}-{clock(scene.end_ms)}",
            clock(best.at_ms) if best else "–",
            "–" if quality is None else f"{quality:.2f}",
            escape(excerpt(scene.transcript)),
            *[_channel(states.get(channel)) for channel in Channel],
        )
    return Group(table, *missing_channels(scenes))


def missing_channels(scenes: Sequence[Scene]) -> list[Text]:
    """One line for each reason why scenes lack a channel."""
    reasons = Counter(
        (state.channel, state.status, state.error or "")
        for channel in Channel
        for scene in scenes
        for state in scene.channels
        if state.channel is channel
        and state.status not in (ChannelStatus.OK, ChannelStatus.PENDING)
    )
    return [
        Text.assemble(
            (channel, "bold"),
            f": {count} of {len(scenes)} scenes {status}",
            f" – {error or _explanation(channel, status)}",
        )
        for (channel, status, error), count in reasons.items()
    ]


SWITCHES = {
    Channel.VISUAL_CLIP: "CLIP_ENABLED is false",
    Channel.TRANSCRIPT: "TRANSCRIPTION_PROVIDER is off and there are no subtitles",
    Channel.VISUAL: "descriptions need OPENAI_API_KEY",
    Channel.SUMMARY: "summaries need OPENAI_API_KEY",
}
EXPLANATIONS = {
    ChannelStatus.EMPTY: "nothing to embed: no words in these scenes",
    ChannelStatus.SKIPPED: "not needed",
    ChannelStatus.NO_AUDIO: "the video has no sound",
    ChannelStatus.SILENT: "nobody speaks",
    ChannelStatus.NO_FRAME: "no picture could be decoded",
    ChannelStatus.UNAVAILABLE: "its model cannot be loaded; `scenebook doctor` says why",
    ChannelStatus.CIRCUIT_OPEN: "the encoder failed too often; `scenebook retry` tries again",
}


def _explanation(channel: Channel, status: ChannelStatus) -> str:
    if status is ChannelStatus.DISABLED:
        return SWITCHES[channel]
    return EXPLANATIONS.get(status, "no reason was recorded")


def hits_table(text: str, answer: SearchAnswer) -> RenderableType:
    """The hits of one search with the reasons for each."""
    lines: list[RenderableType] = [Text.assemble("“", (text, "bold"), "”")]
    if answer.hits:
        table = Table("video", "scene", "time", "score", "why", "words", box=None, pad_edge=False)
        for hit in answer.hits:
            why = ", ".join(
                f"{one.channel} {one.similarity:.2f} (#{one.rank})" for one in hit.reasons
            )
            table.add_row(
                escape(excerpt(hit.title, 30)),
                str(hit.scene_index),
                f"{clock(hit.start_ms)}-{clock(hit.end_ms)}",
                f"{hit.score:.3f}",
                why,
                escape(excerpt(hit.transcript or hit.description)),
            )
        lines.append(table)
    else:
        lines.append(Text("No scene matches."))
    for channel, reason in answer.degraded.items():
        lines.append(Text(f"{channel} did not take part: {reason}", style="yellow"))
    return Group(*lines)


def _status(status: str) -> Text:
    return Text(status, style=_style(status))


def _style(status: str) -> str:
    return STATUS_STYLE.get(status, "cyan")


def _channel(state: ChannelState | None) -> Text:
    if state is None:
        return Text("–")
    if state.status is ChannelStatus.OK:
        return Text("ok", style="green")
    return Text(state.status, style="dim" if state.status in COMPLETE else "yellow")
