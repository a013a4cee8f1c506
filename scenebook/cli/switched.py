"""Finds channels that were off when a video was indexed, and that the settings have on now."""

from __future__ import annotations

from scenebook.model import Channel, ChannelStatus, Stage
from scenebook.progress import VideoProgress
from scenebook.settings import Settings
from scenebook.videos import STAGE_OF


def switched_on(settings: Settings, progress: VideoProgress) -> list[Channel]:
    """The channels that are `disabled` in every scene of a video, and enabled by now.

    Of those that one stage fills together, the first: descriptions are not to be paid for twice.
    """
    found: dict[Stage, Channel] = {}
    for channel in Channel:
        counts = progress.channel_counts.get(channel, {})
        if set(counts) == {ChannelStatus.DISABLED} and _is_on(channel, settings):
            found.setdefault(STAGE_OF[channel], channel)
    return list(found.values())


def _is_on(channel: Channel, settings: Settings) -> bool:
    if channel is Channel.VISUAL_CLIP:
        return settings.clip_enabled
    if channel is Channel.TRANSCRIPT:
        return settings.transcription_provider != "off"
    has_api = bool(settings.openai_api_key or settings.openai_base_url)
    return has_api and settings.description_max_calls > 0
