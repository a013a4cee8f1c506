"""Utterances: which of them are real speech, which scene each belongs to, and how they read."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scenebook.model import Utterance, UtteranceSource
from scenebook.subtitles import parse_subtitles

__all__ = [
    "GateReason",
    "GatedSpeech",
    "WhisperSegment",
    "assign_utterances",
    "gate_speech",
    "join_utterances",
    "parse_subtitles",
]

# Whisper's own rule for silence and for failed decoding: section 4.5 of "Robust Speech Recognition
# via Large-Scale Weak Supervision" (arXiv:2212.04356), the defaults of openai/whisper's
# transcribe() and of faster-whisper.
NO_SPEECH_PROB = 0.6
AVG_LOGPROB = -1.0
COMPRESSION_RATIO = 2.4
# The stricter rule that holds while the voice detector's own evidence is weak.
WEAK_NO_SPEECH_PROB = 0.3
WEAK_AVG_LOGPROB = -0.6
# Silero VAD's default `min_speech_duration_ms`: what is shorter is a click, not a word.
MIN_SPEECH_MS = 250
# Less speech than this, in both senses at once, is weak evidence: on music and noise the voice
# detector reports stray fragments, while one short sentence in an hour is still a sentence.
WEAK_SPEECH_MS = 2000
WEAK_SPEECH_RATIO = 0.05
# The decoder loops: the same line this many times in a row is said once.
REPEATED_LINES = 3

# What Whisper writes over silence and music: credits and farewells of the subtitled videos it
# learned from. Compared as whole segments, without case and punctuation.
BANNED_PHRASES = frozenset(
    {
        "thanks for watching",
        "thank you for watching",
        "thank you so much for watching",
        "thanks for watching and see you next time",
        "please subscribe",
        "please subscribe to my channel",
        "like and subscribe",
        "dont forget to like and subscribe",
        "see you in the next video",
        "subtitles by the amaraorg community",
        "subtitles by",
        "transcription by castingwords",
        "untertitel der amaraorg community",
        "untertitel im auftrag des zdf für funk 2017",
        "untertitelung des zdf 2020",
        "vielen dank fürs zuschauen",
        "soustitres réalisés par la communauté damaraorg",
        "soustitres réalisés para la communauté damaraorg",
        "soustitrage société radiocanada",
        "merci davoir regardé cette vidéo",
        "subtítulos realizados por la comunidad de amaraorg",
        "gracias por ver el video",
        "gracias por ver el vídeo",
        "sottotitoli creati dalla comunità amaraorg",
        "sottotitoli e revisione a cura di qtss",
        "legendas pela comunidade amaraorg",
        "obrigado por assistir",
        "ondertitels ingediend door de amaraorg gemeenschap",
        "napisy stworzone przez społeczność amaraorg",
        "субтитры сделал dimatorzok",
        "субтитры создавал dimatorzok",
        "продолжение следует",
        "спасибо за просмотр",
        "字幕由amaraorg社区提供",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "ご視聴ありがとうございました",
        "最後までご視聴ありがとうございました",
        "시청해주셔서 감사합니다",
        "구독과 좋아요 부탁드립니다",
        "mbc 뉴스 이덕영입니다",
    }
)
# Said by people and by the model alike: believed only where the segment itself is confident.
DOUBTFUL_PHRASES = frozenset(
    {"you", "thank you", "thank you very much", "thanks", "bye", "bye bye", "okay", "so", "hmm",
     "the end", "gracias", "merci", "danke", "ありがとうございました", "감사합니다", "谢谢"}
)  # fmt: skip

# The ways of writing down sounds that are no words.
SOUND_LABELS = (("[", "]"), ("(", ")"), ("*", "*"), ("♪", "♪"), ("（", "）"), ("【", "】"))

# A sentence that is held together ends at one of these, at a pause, or at a change of speaker.
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
CLOSERS = "\"'”’»)]}」』"
SENTENCE_GAP_MS = 1500
# A longer "sentence" is text without punctuation, so its lines go each to their own scene.
SENTENCE_MAX_MS = 15_000
# A line shown over more scenes than these belongs to one of the first of them: nobody says it for
# so long, and a file may hold ten thousands of such lines.
SCENES_OF_A_LINE = 20


@dataclass(frozen=True, slots=True)
class WhisperSegment:
    """One segment as Whisper gives it; times in milliseconds from the video's first picture."""

    start_ms: int
    end_ms: int
    text: str
    no_speech_prob: float
    avg_logprob: float
    compression_ratio: float


class GateReason(StrEnum):
    """Why words that a speech model wrote are not believed."""

    NO_SPEECH = "no_speech"
    TOO_SHORT = "too_short"
    LOW_SPEECH_RATIO = "low_speech_ratio"
    HIGH_NO_SPEECH_PROB = "high_no_speech_prob"
    MUSIC_ONLY = "music_only"
    BANNED_PHRASES = "banned_phrases"
    REPETITION = "repetition"


@dataclass(frozen=True, slots=True)
class GatedSpeech:
    """The utterances kept, and how many segments were dropped for which reason.

    reason is None while at least one utterance is kept; else the reason of most segments.
    language is what the speech model calls it: a code or an English name.
    """

    utterances: tuple[Utterance, ...]
    reason: GateReason | None
    dropped: dict[GateReason, int]
    language: str | None = None


def gate_speech(
    segments: Sequence[WhisperSegment],
    *,
    speech_ms: int | None,
    total_ms: int,
    source: UtteranceSource = UtteranceSource.WHISPER,
) -> GatedSpeech:
    """Keep what was said; drop what a speech model makes up over silence, music and noise.

    speech_ms is what the voice detector calls speech in all total_ms of audio; None where there
    is no voice detector (a transcription API), so that only the segments' own figures judge.
    """
    if not segments:
        return GatedSpeech((), GateReason.NO_SPEECH, {})
    if speech_ms is not None and speech_ms < MIN_SPEECH_MS:
        return GatedSpeech((), GateReason.TOO_SHORT, {GateReason.TOO_SHORT: len(segments)})
    weak = (
        speech_ms is not None
        and speech_ms < WEAK_SPEECH_MS
        and speech_ms < WEAK_SPEECH_RATIO * total_ms
    )
    dropped: Counter[GateReason] = Counter()
    kept: list[Utterance] = []
    repeated = _repeated(segments)
    for segment, is_repeated in zip(segments, repeated, strict=True):
        reason = GateReason.REPETITION if is_repeated else _doubt(segment, weak=weak)
        if reason is not None:
            dropped[reason] += 1
            continue
        end_ms = max(segment.end_ms, segment.start_ms + 1)
        kept.append(Utterance(segment.start_ms, end_ms, " ".join(segment.text.split()), source))
    reason = None if kept else dropped.most_common(1)[0][0]
    return GatedSpeech(tuple(kept), reason, dict(dropped))


def _doubt(segment: WhisperSegment, *, weak: bool) -> GateReason | None:
    """Why this segment is not believed; None if it is."""
    words = _words(segment.text)
    confident = (
        segment.no_speech_prob <= WEAK_NO_SPEECH_PROB and segment.avg_logprob >= WEAK_AVG_LOGPROB
    )
    if not words or _is_sound_label(segment.text):
        return GateReason.MUSIC_ONLY
    if words in BANNED_PHRASES or (words in DOUBTFUL_PHRASES and not confident):
        return GateReason.BANNED_PHRASES
    if segment.compression_ratio > COMPRESSION_RATIO:
        return GateReason.REPETITION
    if segment.no_speech_prob > NO_SPEECH_PROB and segment.avg_logprob < AVG_LOGPROB:
        return GateReason.HIGH_NO_SPEECH_PROB
    return GateReason.LOW_SPEECH_RATIO if weak and not confident else None


def _words(text: str) -> str:
    """The letters and digits of a text, lower case, single spaces: for comparing phrases."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Combining marks are part of words in many scripts, so only real punctuation goes.
    kept = (c for c in folded if c.isspace() or unicodedata.category(c)[0] in "LMN")
    return " ".join("".join(kept).split())


def _is_sound_label(text: str) -> bool:
    """Whether all of it stands in brackets or between notes: "[Music]", "(applause)", "♪ la ♪"."""
    bare = text.strip()
    return len(bare) > 1 and any(
        bare[0] == opening and bare[-1] == closing and closing not in bare[1:-1]
        for opening, closing in SOUND_LABELS
    )


def _repeated(segments: Sequence[WhisperSegment]) -> list[bool]:
    """True for every further copy of a line that comes REPEATED_LINES times in a row or more."""
    words = [_words(segment.text) for segment in segments]
    repeated = [False] * len(words)
    start = 0
    for index in range(1, len(words) + 1):
        if index == len(words) or words[index] != words[start]:
            if index - start >= REPEATED_LINES:
                repeated[start + 1 : index] = [True] * (index - start - 1)
            start = index
    return repeated


def assign_utterances(
    utterances: Sequence[Utterance], scenes: Sequence[tuple[int, int]]
) -> list[list[Utterance]]:
    """The utterances of each scene, in order of time; every utterance goes to exactly one scene.

    scenes: half-open (start_ms, end_ms), in order, not overlapping. An utterance goes to the scene
    that it overlaps most, to the earlier of equals, and from a gap or past the end to the nearest;
    of the scenes under one line the first 20 count.
    Lines that form one sentence stay together in the scene that holds most of it.
    """
    assigned: list[list[Utterance]] = [[] for _ in scenes]
    if not scenes:
        return assigned
    starts = [start_ms for start_ms, _ in scenes]
    ordered = sorted(utterances, key=lambda utterance: (utterance.start_ms, utterance.end_ms))
    for sentence in _sentences(ordered):
        assigned[_home(sentence, scenes, starts)].extend(sentence)
    for own in assigned:
        own.sort(key=lambda utterance: (utterance.start_ms, utterance.end_ms))
    return assigned


def _sentences(ordered: Sequence[Utterance]) -> list[list[Utterance]]:
    """Consecutive lines that belong together; a too long run of them falls apart into lines."""
    runs: list[list[Utterance]] = []
    for utterance in ordered:
        if runs and _continues(runs[-1][-1], utterance):
            runs[-1].append(utterance)
        else:
            runs.append([utterance])
    sentences: list[list[Utterance]] = []
    for run in runs:
        too_long = run[-1].end_ms - run[0].start_ms > SENTENCE_MAX_MS
        sentences.extend([[line] for line in run] if too_long else [run])
    return sentences


def _continues(line: Utterance, following: Utterance) -> bool:
    ends = line.text.rstrip().rstrip(CLOSERS).endswith(SENTENCE_ENDS)
    gap_ms = following.start_ms - line.end_ms
    return not ends and gap_ms <= SENTENCE_GAP_MS and line.speaker == following.speaker


def _home(
    sentence: Sequence[Utterance], scenes: Sequence[tuple[int, int]], starts: Sequence[int]
) -> int:
    """Index of the scene with most of the sentence; without any overlap, of the nearest scene."""
    overlap_ms: Counter[int] = Counter()
    for line in sentence:
        index = max(bisect_right(starts, line.start_ms) - 1, 0)
        last = min(len(scenes), index + SCENES_OF_A_LINE)
        while index < last and starts[index] < line.end_ms:
            shared = min(line.end_ms, scenes[index][1]) - max(line.start_ms, starts[index])
            if shared > 0:
                overlap_ms[index] += shared
            index += 1
    if overlap_ms:
        return min(overlap_ms, key=lambda index: (-overlap_ms[index], index))
    at_ms = sentence[0].start_ms
    before = max(bisect_right(starts, at_ms) - 1, 0)
    near = range(before, min(before + 2, len(scenes)))
    return min(near, key=lambda index: max(scenes[index][0] - at_ms, at_ms - scenes[index][1], 0))


def join_utterances(utterances: Sequence[Utterance]) -> str:
    """The words of the utterances as one text, without lines that only repeat the one before."""
    lines: list[str] = []
    for utterance in utterances:
        line = " ".join(utterance.text.split())
        if line and (not lines or line.casefold() != lines[-1].casefold()):
            lines.append(line)
    return " ".join(lines)
