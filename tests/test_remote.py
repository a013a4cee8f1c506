"""The OpenAI-compatible API through the real client, against a server that misbehaves."""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from scenebook.audio import audio_pieces
from scenebook.db.paid_calls import PaidKind
from scenebook.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidInput,
    InvalidMedia,
    ScenebookError,
    Unavailable,
)
from scenebook.model import Channel, UtteranceSource
from scenebook.remote import RemoteModels
from scenebook.remote_calls import GRACE_S
from scenebook.settings import load
from scenebook.text_pieces import batches, estimate_tokens, split_text
from tests.openai_server import (
    CHAT,
    EMBEDDINGS,
    TRANSCRIPTIONS,
    OpenAIServer,
    Reply,
    an_openai_server,
    described,
    embedded,
    failure,
    heard,
    vector,
)

KEY = "sk-test-0123456789abcdef"
RATE = 16_000
# What a busy machine may add to a promised bound: each of these calls would otherwise take minutes.
BUSY_S = 5.0
Connect = Callable[..., RemoteModels]


class Kept(dict[str, dict[str, Any]]):
    """Paid calls, kept in memory."""

    def put(self, key: str, value: dict[str, Any], *, kind: PaidKind) -> None:
        self[key] = value


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with an_openai_server() as running:
        yield running


@pytest.fixture
def connect(server: OpenAIServer) -> Iterator[Connect]:
    """Makes models that talk to the server; settings may be overridden by name."""
    made: list[RemoteModels] = []

    def connected(kept: Kept | None = None, **environ: str) -> RemoteModels:
        settings = load({"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, **environ})
        made.append(RemoteModels(settings, Kept() if kept is None else kept))
        return made[-1]

    yield connected
    for models in made:
        models.close()


# --- time, retries and errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply", [Reply(hang=True), Reply(described().body, drip_s=0.5)], ids=["hang", "drip"]
)
def test_a_call_ends_within_its_time_bound(
    server: OpenAIServer, connect: Connect, reply: Reply
) -> None:
    remote = connect(OPENAI_TIMEOUT_S="0.7")
    server.script(CHAT, *[reply] * 5)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"127\.0\.0\.1 did not answer within 0\.7 s"):
        remote.describe([b"x"], "")
    assert time.monotonic() - started < 0.7 + GRACE_S + BUSY_S
    server.behave()
    assert remote.describe([b"x"], "").status == "ok"


def test_the_time_bound_holds_over_all_retries(server: OpenAIServer, connect: Connect) -> None:
    remote = connect(OPENAI_TIMEOUT_S="1", OPENAI_MAX_RETRIES="20")
    server.script(CHAT, *[failure(429, "slow down", Retry_After="30")] * 5)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        remote.describe([b"x"], "")
    assert time.monotonic() - started < 1 + GRACE_S + BUSY_S


def test_retry_after_is_kept(server: OpenAIServer, connect: Connect) -> None:
    server.script(CHAT, failure(429, "slow down", Retry_After="1"))
    started = time.monotonic()
    assert connect().describe([b"x"], "").status == "ok"
    assert time.monotonic() - started >= 1
    assert len(server.asked(CHAT)) == 2


def test_passing_failures_are_retried(server: OpenAIServer, connect: Connect) -> None:
    server.script(CHAT, failure(500), Reply(reset=True), failure(503, retry_after_ms="10"))
    assert connect().describe([b"x"], "").status == "ok"
    assert len(server.asked(CHAT)) == 4


@pytest.mark.parametrize(
    ("reply", "error", "code", "calls"),
    [
        (failure(429, "limit", retry_after_ms="1"), Unavailable, "rate_limited", 3),
        (failure(500, "oops", retry_after_ms="1"), Unavailable, "unavailable", 3),
        (Reply(reset=True), Unavailable, "unavailable", 3),
        (failure(400, "bad"), InvalidInput, "remote_refused", 1),
        (failure(401, "key"), ConfigurationError, "configuration", 1),
        (failure(403, "region"), ConfigurationError, "configuration", 1),
        (failure(404, "model"), ConfigurationError, "configuration", 1),
    ],
)
def test_each_failure_has_its_error_and_its_number_of_calls(
    server: OpenAIServer,
    connect: Connect,
    reply: Reply,
    error: type[ScenebookError],
    code: str,
    calls: int,
) -> None:
    server.script(EMBEDDINGS, *[reply] * 5)
    with pytest.raises(error) as raised:
        connect(OPENAI_MAX_RETRIES="2").encode_texts(["hello"])
    assert (type(raised.value), raised.value.code) == (error, code)
    assert raised.value.retryable is (error is Unavailable)
    assert len(server.asked(EMBEDDINGS)) == calls


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        remote = RemoteModels(load({"OPENAI_BASE_URL": address, "OPENAI_MAX_RETRIES": "0"}), Kept())
        with pytest.raises(Unavailable, match="cannot be reached"):
            remote.encode_texts(["hello"])
        remote.close()


def test_no_key_shows_in_errors_or_logs(
    server: OpenAIServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echoed = f"Incorrect API key provided: {KEY}, sk-other-9876543210. Header: Bearer abc.def"
    for status in (400, 401, 429, 500):
        server.script(CHAT, failure(status, echoed))
        with pytest.raises(ScenebookError) as raised:
            connect(OPENAI_MAX_RETRIES="0").describe([b"x"], "")
        chain = repr(raised.value) + repr(raised.value.__cause__)
        assert "***" in chain
        assert not any(secret in chain for secret in (KEY, "9876543210", "abc.def"))
    assert server.asked(CHAT)[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text


def test_a_local_server_needs_no_key_and_nothing_works_without_either(server: OpenAIServer) -> None:
    local = RemoteModels(load({"OPENAI_BASE_URL": server.url}), Kept())
    assert local.available
    assert len(local.encode_texts(["hello"])) == 1
    local.close()
    nowhere = RemoteModels(load({}), Kept())
    assert not nowhere.available
    with pytest.raises(ConfigurationError, match="Set OPENAI_API_KEY"):
        nowhere.encode_texts(["hello"])


# --- descriptions: the protocol (the rest is in test_descriptions.py) ---------------------------


def test_a_description_is_asked_for_with_a_strict_schema(
    server: OpenAIServer, connect: Connect
) -> None:
    connect(DESCRIPTION_MODEL="eyes").describe([b"x"], "")
    asked = server.asked(CHAT)[0].json
    assert asked["model"] == "eyes"
    schema = asked["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert set(schema["schema"]["required"]) == set(schema["schema"]["properties"])


def test_a_server_without_schemas_gets_json_mode_once_and_for_all(
    server: OpenAIServer, connect: Connect
) -> None:
    remote = connect()
    server.script(CHAT, failure(400, "response_format.type json_schema is not supported"))
    assert remote.describe([b"x"], "").status == "ok"
    assert remote.describe([b"y"], "").status == "ok"
    formats = [request.json["response_format"]["type"] for request in server.asked(CHAT)]
    assert formats == ["json_schema", "json_object", "json_object"]


# --- text embeddings ----------------------------------------------------------------------------


def test_vectors_come_in_order_with_norm_one(server: OpenAIServer, connect: Connect) -> None:
    texts = ["emoji 😀", "zwei", "three\x00", "zwei"]
    vectors = connect().encode_texts(texts)
    for text, got in zip(["emoji 😀", "zwei", "three ", "zwei"], vectors, strict=True):
        expected = np.asarray(vector(text))
        np.testing.assert_allclose(got, expected / np.linalg.norm(expected), atol=1e-6)
        assert got.dtype == np.float32
    assert server.asked(EMBEDDINGS)[0].json["input"] == ["emoji 😀", "zwei", "three "]


def test_many_texts_go_in_requests_within_the_limits(
    server: OpenAIServer, connect: Connect
) -> None:
    texts = [f"text {i}" for i in range(600)]
    vectors = connect().encode_texts(texts)
    sizes = [len(request.json["input"]) for request in server.asked(EMBEDDINGS)]
    assert sizes == [256, 256, 88]
    expected = np.asarray(vector("text 599"))
    np.testing.assert_allclose(vectors[599], expected / np.linalg.norm(expected), atol=1e-6)


def test_no_request_holds_more_tokens_than_allowed() -> None:
    texts = {str(i): "word " * 1000 for i in range(100)}
    groups = batches(texts, max_inputs=2048, max_tokens=10_000)
    assert [key for group in groups for key in group] == list(texts)
    assert all(sum(map(estimate_tokens, group.values())) <= 10_000 for group in groups)


@pytest.mark.parametrize("text", ["", " \n", "word " * 20_000])
def test_a_text_that_is_empty_or_too_long_has_no_vector(connect: Connect, text: str) -> None:
    with pytest.raises(InvalidInput):
        connect().encode_texts([text])


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 1, "embedding": [1.0, 0.0]}],
        [{"index": 0, "embedding": [0.0, 0.0]}],
        [{"index": 0, "embedding": [1.0] * 4001}],
        [{"index": 0, "embedding": "AAAA"}],
        [{"index": 0, "embedding": [1e300, 1.0]}],
    ],
    ids=["none", "index", "zero", "long", "text", "overflow"],
)
def test_vectors_that_cannot_be_are_refused(
    server: OpenAIServer, connect: Connect, data: list[Any]
) -> None:
    server.script(EMBEDDINGS, Reply({"data": data}))
    with pytest.raises(Unavailable) as raised:
        connect().encode_texts(["hello"])
    assert raised.value.code == "bad_answer"


def test_a_vector_with_nan_is_refused(server: OpenAIServer, connect: Connect) -> None:
    server.script(EMBEDDINGS, Reply(b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}'))
    with pytest.raises(Unavailable):
        connect().encode_texts(["hello"])


def test_a_change_of_dimensions_is_refused(server: OpenAIServer, connect: Connect) -> None:
    remote = connect()
    remote.encode_texts(["hello"])
    server.script(EMBEDDINGS, Reply({"data": [{"index": 0, "embedding": vector("x", 4)}]}))
    with pytest.raises(Unavailable, match="4 dimensions instead of 8"):
        remote.encode_texts(["world"])


def test_the_space_learns_its_dimensions_and_tiers_name_models(
    server: OpenAIServer, connect: Connect
) -> None:
    space = connect(TEXT_EMBEDDING_MODEL="quality").text_space(Channel.TRANSCRIPT)
    assert (space.model, space.weights) == ("text-embedding-3-large", "127.0.0.1")
    assert (space.channel, space.dimensions) == (Channel.TRANSCRIPT, 8)


def test_paid_vectors_are_kept_also_those_before_a_failure(
    server: OpenAIServer, connect: Connect
) -> None:
    kept = Kept()
    texts = [f"text {i}" for i in range(300)]
    server.script(EMBEDDINGS, embedded(texts[:256]), failure(400, "no"))
    with pytest.raises(InvalidInput):
        connect(kept).encode_texts(texts)
    first = connect(kept).encode_texts(texts)
    again = connect(kept).encode_texts(texts)
    sizes = [len(request.json["input"]) for request in server.asked(EMBEDDINGS)]
    assert sizes == [256, 44, 44]
    np.testing.assert_array_equal(first, again)


# --- pieces of text -----------------------------------------------------------------------------


def test_long_text_is_cut_between_sentences_and_loses_no_word() -> None:
    text = " ".join(f"This is sentence number {i}." for i in range(200))
    pieces = split_text(text, max_tokens=50)
    assert all(estimate_tokens(piece) <= 50 for piece in pieces)
    assert all(piece.endswith(".") for piece in pieces)
    assert " ".join(pieces) == text


@pytest.mark.parametrize("text", ["word " * 3000, "x" * 9000, "語" * 4000, "😀" * 3000])
def test_text_without_sentences_is_cut_too(text: str) -> None:
    pieces = split_text(text, max_tokens=100)
    assert all(0 < estimate_tokens(piece) <= 100 for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_empty_text_has_no_pieces_and_short_text_is_one(connect: Connect) -> None:
    assert connect().text_pieces(" \n") == []
    assert connect().text_pieces("One. Two.\nThree.") == ["One. Two. Three."]


# --- speech -------------------------------------------------------------------------------------


def noise(seconds: float, level: float = 0.2) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).normal(0, level, int(seconds * RATE)).clip(-1, 1)


def flac(path: Path, *parts: np.ndarray[Any, Any]) -> Path:
    soundfile.write(path, np.concatenate(parts), RATE, format="FLAC", subtype="PCM_16")
    return path


def test_a_long_audio_is_cut_at_quiet_moments_and_silence_is_left_out(tmp_path: Path) -> None:
    pause = np.zeros(RATE // 2)
    path = flac(tmp_path / "a.flac", noise(8), pause, noise(5), np.zeros(RATE * 30), noise(1))
    pieces = list(audio_pieces(path, piece_s=10))
    assert 8000 <= pieces[0].end_ms <= 8500
    assert pieces[1].start_ms == pieces[0].end_ms
    assert pieces[-1].end_ms == 44_500
    assert sum(piece.end_ms - piece.start_ms for piece in pieces) < 30_000
    for piece in pieces:
        samples, rate = soundfile.read(io.BytesIO(piece.flac))
        assert rate == RATE
        assert len(samples) == (piece.end_ms - piece.start_ms) * RATE // 1000


def test_the_largest_piece_is_below_the_limit_of_the_api(tmp_path: Path) -> None:
    pieces = list(audio_pieces(flac(tmp_path / "a.flac", noise(250, level=0.5))))
    assert len(pieces) == 2
    assert max(len(piece.flac) for piece in pieces) < 25_000_000


def test_speech_is_transcribed_with_times_of_the_whole_audio(
    server: OpenAIServer, connect: Connect, tmp_path: Path
) -> None:
    path = flac(tmp_path / "a.flac", noise(235), np.zeros(RATE), noise(10))
    server.script(TRANSCRIPTIONS, heard((0.5, 2.0, " First.")), heard((1.0, 99.0, " Second.\x00")))
    done: list[float] = []
    remote = connect()
    utterances = remote.transcribe(path, "de", on_progress=done.append)
    assert (utterances[0].start_ms, utterances[0].text) == (500, "First.")
    cut_ms = utterances[1].start_ms - 1000
    assert 235_000 <= cut_ms <= 236_000
    assert utterances[1].end_ms == 246_000
    assert {u.source for u in utterances} == {UtteranceSource.API}
    assert done == [cut_ms / 246_000, 1.0]
    sent = server.asked(TRANSCRIPTIONS)[0].body
    assert b"verbose_json" in sent
    assert b"fLaC" in sent
    assert b'name="language"\r\n\r\nde\r\n' in sent

    assert remote.transcribe(path, "de") == utterances
    assert len(server.asked(TRANSCRIPTIONS)) == 2


def test_made_up_words_of_the_api_are_dropped(
    server: OpenAIServer, connect: Connect, tmp_path: Path
) -> None:
    server.script(TRANSCRIPTIONS, heard((0.0, 2.0, " Thanks for watching!")))
    assert connect().transcribe(flac(tmp_path / "a.flac", noise(2)), None) == []


def test_an_answer_without_segments_is_one_utterance(
    server: OpenAIServer, connect: Connect, tmp_path: Path
) -> None:
    server.script(TRANSCRIPTIONS, Reply({"text": "Only words."}))
    utterances = connect().transcribe(flac(tmp_path / "a.flac", noise(2)), None)
    assert [(u.start_ms, u.end_ms, u.text) for u in utterances] == [(0, 2000, "Only words.")]


def test_silence_is_not_sent(server: OpenAIServer, connect: Connect, tmp_path: Path) -> None:
    assert connect().transcribe(flac(tmp_path / "a.flac", np.zeros(RATE * 3)), None) == []
    assert server.requests == []


def test_audio_that_cannot_be_read_says_so(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "bad.flac").write_bytes(b"fLaC nothing")
    with pytest.raises(InvalidMedia, match="audio track cannot be read"):
        connect().transcribe(tmp_path / "bad.flac", None)
