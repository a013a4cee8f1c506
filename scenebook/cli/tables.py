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
from scenebook.progress import VideoProgress

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.search import Reason, SearchAnswer

STATUS_STYLE = {"ready": "green", "partial": "yellow", "failed": "red", "cancelled": "dim"}
WORDS = 66
# Below this many characters a table of scenes would be cut; they are listed then.
WIDE = 125


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


def progress_table(video: Video, progress: VideoProgress) -> RenderableType:
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


def scenes_table(scenes: Sequence[Scene], *, width: int) -> RenderableType:
    """The scenes of one video, and why a channel is missing where it is; `width` in characters."""
    if not scenes:
        return Text("No scenes yet. `scenebook status VIDEO` shows how far it is.")
    listing = _scene_rows(scenes) if width >= WIDE else _scene_lines(scenes)
    return Group(listing, *missing_channels(scenes))


def _scene_rows(scenes: Sequence[Scene]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for name in ("scene", "time", "best frame", "quality"):
        table.add_column(name, no_wrap=True)
    table.add_column("words", no_wrap=True, overflow="ellipsis")
    for channel in Channel:
        table.add_column(channel.value, no_wrap=True)
    for scene in scenes:
        states = {state.channel: state for state in scene.channels}
        table.add_row(
            *_scene_head(scene),
            escape(excerpt(scene.transcript)),
            *[_channel(states.get(channel)) for channel in Channel],
        )
    return table


def _scene_lines(scenes: Sequence[Scene]) -> RenderableType:
    lines = Text()
    for scene in scenes:
        index, time, best, quality = _scene_head(scene)
        states = {state.channel: state for state in scene.channels}
        lines.append(f"{index:>4}  {time}", "bold").append(f"  best {best}  quality {quality}\n")
        if scene.transcript:
            lines.append(f"      “{excerpt(scene.transcript)}”\n")
        parts = [Text(f"{one} ").append(_channel(states.get(one))) for one in Channel]
        lines.append("      ").append(Text(", ").join(parts)).append("\n")
    return lines


def _scene_head(scene: Scene) -> tuple[str, str, str, str]:
    best = scene.keyframes[0] if scene.keyframes else None
    score = best.quality.get("quality_score") if best else None
    return (
        str(scene.scene_index),
        f"{clock(scene.start_ms)}-{clock(scene.end_ms)}",
        clock(best.at_ms) if best else "–",
        "–" if score is None else f"{score:.2f}",
    )


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
EMPTY = {
    Channel.TRANSCRIPT: "no words in these scenes",
    Channel.VISUAL: "the vision model saw nothing to describe",
    Channel.SUMMARY: "the vision model saw nothing to describe",
}
EXPLANATIONS = {
    ChannelStatus.SKIPPED: "not needed",
    ChannelStatus.NO_AUDIO: "the video has no sound",
    ChannelStatus.SILENT: "nobody speaks",
    ChannelStatus.NO_FRAME: "no picture could be decoded",
    ChannelStatus.UNAVAILABLE: "its model cannot be loaded; `scenebook doctor` says why",
    ChannelStatus.CIRCUIT_OPEN: "the encoder failed too often; `scenebook retry` tries again",
}


def _explanation(channel: Channel, status: ChannelStatus) -> str:
    if status is ChannelStatus.EMPTY:
        return EMPTY.get(channel, "nothing to embed")
    if status is ChannelStatus.DISABLED:
        return SWITCHES[channel]
    return EXPLANATIONS.get(status, "no reason was recorded")


def hits_list(text: str, answer: SearchAnswer) -> RenderableType:
    """The hits of one search with the reasons for each."""
    lines = Text.assemble("“", (text, "bold"), "”\n")
    for place, hit in enumerate(answer.hits, start=1):
        why = ", ".join(_why(one) for one in hit.reasons)
        lines.append(f"{place:>3}. {clock(hit.start_ms)}-{clock(hit.end_ms)}", "bold")
        lines.append(f"  {why}  score {hit.score:.3f}\n")
        lines.append(f"     {excerpt(hit.title, 30)}, scene {hit.scene_index}")
        words = hit.transcript or hit.description
        lines.append(f": “{excerpt(words)}”\n" if words else "\n")
    if not answer.hits:
        lines.append("No scene matches.\n")
    for word, near in answer.corrections.items():
        lines.append(f"Nobody says “{word}”; looked for {', '.join(near)} as well.\n", "dim")
    for channel, reason in answer.degraded.items():
        lines.append(f"{channel} did not take part: {reason}\n", "yellow")
    lines.rstrip()
    return lines


def _why(reason: Reason) -> str:
    at = "" if reason.matched_ms is None else f" at {clock(reason.matched_ms)}"
    how_well = reason.text_rank if reason.similarity is None else reason.similarity
    return f"{reason.channel} {how_well or 0:.2f} (#{reason.rank}){at}"


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
