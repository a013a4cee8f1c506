"""Subtitle files, the speech gate, and which scene an utterance belongs to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenebook.errors import InvalidSubtitles
from scenebook.model import Utterance, UtteranceSource
from scenebook.transcripts import (
    GateReason,
    WhisperSegment,
    assign_utterances,
    gate_speech,
    join_utterances,
    parse_subtitles,
)

MEDIA = Path(__file__).parent / "media"
SCENES = [(0, 4000), (4000, 8000), (8000, 12_000)]


def said(start_ms: int, end_ms: int, text: str, speaker: str | None = None) -> Utterance:
    return Utterance(start_ms, end_ms, text, UtteranceSource.SUBTITLES, speaker)


def parsed(text: str, encoding: str = "utf-8") -> list[tuple[int, int, str]]:
    utterances = parse_subtitles(text.encode(encoding), name="a.vtt")
    return [(u.start_ms, u.end_ms, u.text) for u in utterances]


def vtt(*cues: str) -> str:
    return "WEBVTT\n\n" + "\n\n".join(cues) + "\n"


# --- subtitle files ---------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_unicode_encoding_is_read(encoding: str) -> None:
    srt = "0\n00:00:00,000 --> 00:00:05,000\nÁÉíöÙ žluťoučký 日本語 😀\n\n"
    assert parsed(srt, encoding) == [(0, 5000, "ÁÉíöÙ žluťoučký 日本語 😀")]


def test_windows_1252_is_read_where_utf_8_fails() -> None:
    srt = "1\r\n00:00:01,000 --> 00:00:02,000\r\nCafé – “naïve”\r\n"
    assert parsed(srt, "cp1252") == [(1000, 2000, "Café – “naïve”")]


def test_srt_keeps_numbers_and_empty_lines_that_are_part_of_the_text() -> None:
    srt = (
        "1\n00:00:01,000 --> 00:00:02,000\nChapter\n7\n\n"
        "2\n00:00:03,000 --> 00:00:04,000\nfirst\n\nsecond\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\n42\n"
    )
    texts = ["Chapter 7", "first second", "42"]
    assert [text for _, _, text in parsed(srt)] == texts


def test_vtt_headers_notes_styles_identifiers_and_settings_are_not_words() -> None:
    content = (
        "WEBVTT - title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\n"
        "intro-cue\n00:01.000 --> 00:02.500 align:start position:0%\nHello <c.red>big</c> world\n\n"
        "NOTE\nnot said\n\n01:00:03.000 --> 01:00:04.000\nTom &amp; Ann &lt;3\n"
    )
    assert parsed(content) == [
        (1000, 2500, "Hello big world"),
        (3_603_000, 3_604_000, "Tom & Ann <3"),
    ]


def test_tags_and_overrides_are_stripped() -> None:
    text = '{\\an8}<i>One</i> <font color="#f00">two</font>\\Nthree'
    srt = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n"
    assert parsed(srt) == [(1000, 2000, "One two three")]


def test_voice_tags_name_the_speakers() -> None:
    cue = "00:01.000 --> 00:02.000\n<v.loud Mary Ann>Hello.</v>\n<v Bob>Hi &amp; bye."
    utterances = parse_subtitles(vtt(cue).encode(), name="a.vtt")
    assert [(u.speaker, u.text) for u in utterances] == [
        ("Mary Ann", "Hello."),
        ("Bob", "Hi & bye."),
    ]


def test_rolling_captions_are_said_once() -> None:
    content = vtt(
        "00:00.000 --> 00:02.000\nhello and\nwelcome to",
        "00:02.000 --> 00:02.010\nwelcome to",
        "00:02.010 --> 00:04.000\nwelcome to<00:00:03.000><c> the show</c>",
        "00:04.000 --> 00:06.000\nwelcome to the show\nof today",
    )
    assert parsed(content) == [
        (0, 2010, "hello and welcome to"),
        (2010, 4000, "the show"),
        (4000, 6000, "of today"),
    ]


def test_words_that_are_said_again_after_a_pause_stay() -> None:
    content = vtt("00:00.000 --> 00:01.000\nNo!", "00:03.000 --> 00:04.000\nNo!")
    assert len(parsed(content)) == 2


def test_cues_that_overlap_and_differ_all_stay_in_order() -> None:
    content = vtt("00:02.000 --> 00:05.000\nB", "00:01.000 --> 00:04.000\nA")
    assert parsed(content) == [(1000, 4000, "A"), (2000, 5000, "B")]


def test_cues_of_no_or_negative_length_get_one_and_negative_times_are_zero() -> None:
    content = vtt(
        "00:01.000 --> 00:01.000\nzero",
        "00:09.000 --> 00:05.000\nbackwards",
        "-00:02.000 --> 00:00.500\nbefore",
    )
    assert parsed(content) == [
        (0, 500, "before"),
        (1000, 2000, "zero"),
        (9000, 10_000, "backwards"),
    ]


def test_cues_without_words_are_left_out_and_nul_is_removed() -> None:
    content = vtt("00:01.000 --> 00:02.000\n♪ ♪", "00:03.000 --> 00:04.000\na\x00b\x1b[31m")
    assert parsed(content) == [(3000, 4000, "ab[31m")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no cue"),
        (b"\x00\x01\x02\xff binary \x9d", "encoding of bad.vtt is not known"),
        (b"\x00\x01\x02\xff binary", "no cue"),
        (b"[Script Info]\nTitle: x", r"WebVTT \(\.vtt\) or SubRip \(\.srt\)"),
        (
            b"WEBVTT\n\n00:01.000 --> soon\nHello",
            "line 3: '00:01.000 --> soon' is not a time range",
        ),
        (b"\xff\xfe\x00\xd8", "encoding of bad.vtt is not known. Save it as UTF-8"),
        (b"x" * 5_000_001, "at most 5,000,000"),
    ],
)
def test_an_unreadable_file_is_refused_with_what_to_do(content: bytes, says: str) -> None:
    with pytest.raises(InvalidSubtitles, match=says):
        parse_subtitles(content, name="bad.vtt")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: ("WEBVTT\n\n" + t).encode()))
def test_any_bytes_give_utterances_or_a_clear_error(content: bytes) -> None:
    try:
        utterances = parse_subtitles(content, name="x")
    except InvalidSubtitles:
        return
    assert all(0 <= u.start_ms < u.end_ms and u.text for u in utterances)


def test_the_shipped_subtitles_hold_the_known_words() -> None:
    path = MEDIA / "composite_dev.vtt"
    utterances = parse_subtitles(path.read_bytes(), name=path.name)
    assert len(utterances) == 10
    assert utterances[0].text == "The stale smell of old beer lingers."
    assert {u.speaker for u in utterances} == {None, "John F. Kennedy"}


# --- scenes -------------------------------------------------------------------------------------


def test_an_utterance_goes_to_the_scene_it_overlaps_most() -> None:
    late, early, tie = said(3900, 6000, "Late."), said(1000, 4500, "Early."), said(7000, 9000, "T.")
    assert assign_utterances([late, early, tie], SCENES) == [[early], [late, tie], []]


def test_utterances_in_gaps_before_and_after_go_to_the_nearest_scene() -> None:
    scenes = [(1000, 2000), (5000, 6000)]
    before, near_first, near_second, after = (
        said(0, 500, "A."), said(2100, 2200, "B."), said(4600, 4700, "C."), said(9000, 9999, "D."),
    )  # fmt: skip
    assigned = assign_utterances([before, near_first, near_second, after], scenes)
    assert assigned == [[before, near_first], [near_second, after]]


def test_the_lines_of_a_sentence_stay_together_in_the_scene_with_most_of_it() -> None:
    sentence = [said(3000, 4200, "Ask not what"), said(4300, 6500, "your country"),
                said(6600, 7800, "can do for you.")]  # fmt: skip
    following = said(7900, 9500, "Ask what you can do.")
    assert assign_utterances([*sentence, following], SCENES) == [[], sentence, [following]]


def test_lines_apart_in_time_or_of_two_speakers_are_no_sentence() -> None:
    apart = [said(2000, 3000, "well"), said(5000, 5500, "yes")]
    assert assign_utterances(apart, SCENES) == [[apart[0]], [apart[1]], []]
    two = [said(2000, 3900, "I", "Ann"), said(4000, 6900, "you", "Bob")]
    assert assign_utterances(two, SCENES) == [[two[0]], [two[1]], []]


def test_text_without_punctuation_falls_apart_at_scene_borders() -> None:
    lines = [said(start, start + 1000, "and so on") for start in range(0, 20_000, 1000)]
    scenes = [(0, 10_000), (10_000, 20_000)]
    assert [len(own) for own in assign_utterances(lines, scenes)] == [10, 10]


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 3000), st.sampled_from(["a", "b."]))),
    st.lists(st.integers(1, 19_999), unique=True, max_size=6),
)
def test_every_utterance_is_in_exactly_one_scene(
    lines: list[tuple[int, int, str]], cuts: list[int]
) -> None:
    bounds = [0, *sorted(cuts), 20_000]
    scenes = list(pairwise(bounds))
    utterances = [said(start, start + length, text) for start, length, text in lines]
    assigned = assign_utterances(utterances, scenes)
    assert len(assigned) == len(scenes)
    key = repr
    assert sorted((u for own in assigned for u in own), key=key) == sorted(utterances, key=key)


def test_without_scenes_nothing_is_assigned() -> None:
    assert assign_utterances([said(0, 1, "a")], []) == []


def test_joined_text_has_single_spaces_and_no_doubled_line() -> None:
    lines = [
        said(0, 1, " Hello\n there. "),
        said(1, 2, "hello there."),
        said(2, 3, ""),
        said(3, 4, "Bye."),
    ]
    assert join_utterances(lines) == "Hello there. Bye."


# --- the speech gate ----------------------------------------------------------------------------


def heard(
    text: str, *, no_speech: float = 0.05, logprob: float = -0.3, ratio: float = 1.3
) -> WhisperSegment:
    return WhisperSegment(0, 2000, text, no_speech, logprob, ratio)


def test_clear_speech_passes_the_gate_with_its_times() -> None:
    gated = gate_speech([heard("  What's the weather like? ")], speech_ms=1100, total_ms=2000)
    assert gated.reason is None
    assert gated.utterances == (
        Utterance(0, 2000, "What's the weather like?", UtteranceSource.WHISPER),
    )


@pytest.mark.parametrize(
    ("segment", "speech_ms", "reason"),
    [
        (heard("Hello everyone"), 100, GateReason.TOO_SHORT),
        (heard("Hello everyone", logprob=-0.9), 500, GateReason.LOW_SPEECH_RATIO),
        (heard("Hello", no_speech=0.7, logprob=-1.2), 30_000, GateReason.HIGH_NO_SPEECH_PROB),
        (heard("[Music]"), 30_000, GateReason.MUSIC_ONLY),
        (heard("♪ la la la ♪"), 30_000, GateReason.MUSIC_ONLY),
        (heard("..."), 30_000, GateReason.MUSIC_ONLY),
        (heard("Thanks for watching!"), 30_000, GateReason.BANNED_PHRASES),
        (heard("Sous-titrage Société Radio-Canada"), 30_000, GateReason.BANNED_PHRASES),
        (heard("ご視聴ありがとうございました。"), 30_000, GateReason.BANNED_PHRASES),
        (heard("Субтитры сделал DimaTorzok"), 30_000, GateReason.BANNED_PHRASES),
        (heard("Thank you.", no_speech=0.5), 30_000, GateReason.BANNED_PHRASES),
        (heard("la " * 80, ratio=9.0), 30_000, GateReason.REPETITION),
    ],
)  # fmt: skip
def test_each_kind_of_made_up_speech_is_dropped_for_its_reason(
    segment: WhisperSegment, speech_ms: int, reason: GateReason
) -> None:
    gated = gate_speech([segment], speech_ms=speech_ms, total_ms=60_000)
    assert (gated.utterances, gated.reason, gated.dropped) == ((), reason, {reason: 1})


def test_one_confident_sentence_in_a_long_video_is_kept() -> None:
    assert gate_speech([heard("Stop right there!")], speech_ms=900, total_ms=3_600_000).utterances


def test_a_confident_thank_you_is_kept() -> None:
    assert gate_speech([heard("Thank you.")], speech_ms=30_000, total_ms=60_000).utterances


def test_a_looping_line_is_kept_once() -> None:
    segments = [heard("Let's go home."), *[heard("I'm sorry.")] * 5, heard("Yes.")]
    gated = gate_speech(segments, speech_ms=30_000, total_ms=60_000)
    assert [u.text for u in gated.utterances] == ["Let's go home.", "I'm sorry.", "Yes."]
    assert gated.dropped == {GateReason.REPETITION: 4}


def test_no_segments_means_no_speech() -> None:
    assert gate_speech([], speech_ms=0, total_ms=60_000).reason is GateReason.NO_SPEECH


def test_an_unclosed_voice_tag_costs_no_more_than_its_length() -> None:
    content = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v" + "." * 2000 + " Hello\n"
    parse_subtitles(content.encode(), name="hostile.vtt")
