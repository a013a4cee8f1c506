"""Search over HTTP: what a request may ask, what an answer says, pages, groups and two owners."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from PIL import Image
from starlette.testclient import TestClient

from scenebook.errors import Unavailable
from scenebook.model import Scene, SearchChannel
from scenebook.videos import scenes_of
from tests.conftest import ALICE, BOB
from tests.indexed import FAKE_CLIP, SUBTITLES, VIDEO
from tests.pipelines import a_pipeline, settings_for
from tests.postgres import Server
from tests.rows import a_scene, a_video
from tests.serving import api_in_process, headers_of, with_tokens

CLIP = ["visual_clip"]


@dataclass(frozen=True)
class Library:
    """The shipped video with subtitles, indexed for either owner, and a client of the service."""

    api: TestClient
    url: str
    scenes: dict[UUID, list[Scene]]

    def ask(self, owner: UUID = ALICE, **body: Any) -> dict[str, Any]:
        """The answer of POST /v1/search."""
        reply = self.api.post("/v1/search", json=body, headers=headers_of(owner))
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def refused(self, *, owner: UUID = ALICE, **body: Any) -> tuple[int, str]:
        """Status and code of a search that is refused."""
        headers = headers_of(owner) | {"Content-Type": "application/json"}
        reply = self.api.post("/v1/search", content=json.dumps(body), headers=headers)
        assert reply.headers["content-type"] == "application/problem+json"
        return reply.status_code, reply.json()["code"]


@pytest.fixture(scope="module")
def library(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with postgres_server.database() as url:
        data = tmp_path_factory.mktemp("data")
        settings = with_tokens(settings_for(url, data, **FAKE_CLIP))
        scenes = {}
        with a_pipeline(settings) as pipeline:
            for owner in (ALICE, BOB):
                video = pipeline.index(VIDEO, owner_id=owner, transcript=SUBTITLES)
                scenes[owner] = scenes_of(pipeline.tools.db, owner_id=owner, video_id=video.id)
        with api_in_process(settings) as api:
            yield Library(api, url, scenes)


def said(library: Library, owner: UUID = ALICE) -> Scene:
    """A scene with words."""
    return next(scene for scene in library.scenes[owner] if scene.transcript)


def words_of(scene: Scene) -> str:
    """The longest word that is said in a scene."""
    return max((scene.transcript or "").split(), key=len).strip(".,!?\"'")


def scene_ids(answer: dict[str, Any]) -> list[str]:
    return [hit["scene_id"] for hit in answer["data"]]


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


def test_an_answer_says_what_was_found_why_and_in_how_much(library: Library) -> None:
    scene = said(library)
    word = words_of(scene)
    answer = library.ask(text=word)
    hit = next(one for one in answer["data"] if one["scene_id"] == str(scene.id))
    assert hit["video_id"] == str(scene.video_id)
    assert (hit["start_ms"], hit["end_ms"]) == (scene.start_ms, scene.end_ms)
    assert scene.start_ms <= hit["matched_ms"] <= scene.end_ms
    lexical = next(one for one in hit["reasons"] if one["channel"] == "lexical")
    assert lexical["similarity"] is None
    assert 0 < lexical["text_rank"] <= 1
    marked = hit["transcript"]["text"]
    shown = {marked[place["start"] : place["end"]] for place in hit["transcript"]["highlights"]}
    assert word.lower() in {one.lower() for one in shown}
    assert library.api.get(hit["keyframe_url"]).headers["content-type"] == "image/jpeg"
    nearest = min(scene.keyframes, key=lambda one: (abs(one.at_ms - hit["matched_ms"]), one.rank))
    assert str(nearest.id) in hit["keyframe_url"]
    total = len(library.scenes[ALICE])
    assert answer["pool"] == {"videos": 1, "unsettled": 0, "scenes": total}
    assert answer["coverage"]["visual_clip"] == total
    assert answer["coverage"]["lexical"] == sum(
        bool(one.transcript) for one in library.scenes[ALICE]
    )
    assert answer["search"] == "exact"
    assert answer["degraded"] == []
    assert set(answer["timing_ms"]["channels"]) == set(answer["applied"]["channels"])
    assert answer["applied"]["mode"] == "balanced"
    assert sum(answer["applied"]["weights"].values()) == pytest.approx(1)


def test_the_pages_of_a_search_are_its_whole(library: Library) -> None:
    asked: dict[str, Any] = {"text": words_of(said(library)), "threshold": -1}
    whole = scene_ids(library.ask(**asked, limit=100))
    assert len(whole) == len(library.scenes[ALICE])
    paged: list[str] = []
    token = None
    while True:
        answer = library.ask(**asked, limit=4, **({"page_token": token} if token else {}))
        paged += scene_ids(answer)
        token = answer["page"]["next_token"]
        if token is None:
            break
    assert paged == whole


@pytest.mark.parametrize("group_by", ["moment", "video"])
def test_the_pages_of_groups_are_their_whole_too(library: Library, group_by: str) -> None:
    asked: dict[str, Any] = {"text": words_of(said(library)), "group_by": group_by}
    whole = library.ask(**asked)["data"]
    pages, token = [], None
    for _ in whole:
        answer = library.ask(**asked, limit=1, **({"page_token": token} if token else {}))
        pages += answer["data"]
        token = answer["page"]["next_token"]
    assert token is None
    assert [one["scene_id"] for one in pages] == [one["scene_id"] for one in whole]


def test_adjacent_scenes_are_one_moment(library: Library) -> None:
    plain = library.ask(text=words_of(said(library)), threshold=-1, limit=100)
    (moment,) = library.ask(text=words_of(said(library)), threshold=-1, group_by="moment")["data"]
    scenes = library.scenes[ALICE]
    assert moment["scene_id"] == plain["data"][0]["scene_id"]
    assert (moment["start_ms"], moment["end_ms"]) == (scenes[0].start_ms, scenes[-1].end_ms)
    assert len(moment["parts"]) == len(scenes) - 1
    capped = library.ask(text="word", threshold=-1, max_per_video=3)
    assert len(capped["data"]) == 3


def test_a_token_is_of_one_search_and_one_owner(library: Library) -> None:
    asked: dict[str, Any] = {"text": words_of(said(library)), "threshold": -1, "limit": 2}
    token = library.ask(**asked)["page"]["next_token"]
    other = asked | {"text": "something else"}
    for owner, body, changed in (
        (ALICE, other, token),
        (BOB, asked, token),
        (ALICE, asked, token[:-2] + "AA"),
        (ALICE, asked, "nonsense"),
        (ALICE, asked, ""),
    ):
        status, code = library.refused(owner=owner, **body, page_token=changed)
        assert (status, code) == (400, "invalid_token")


def test_a_picture_finds_what_looks_like_it_in_either_form(library: Library) -> None:
    encoded = base64.b64encode(picture()).decode()
    by_json = library.ask(image=encoded, threshold=-1)
    reply = library.api.post(
        "/v1/search/image",
        files={"file": ("red.png", picture(), "image/png")},
        data={"options": '{"threshold": -1}'},
        headers=headers_of(ALICE),
    )
    assert reply.status_code == 200, reply.text
    assert scene_ids(reply.json()) == scene_ids(by_json)
    assert by_json["applied"]["channels"] == CLIP
    both = library.ask(image=encoded, text="a red picture", threshold=-1)
    assert set(both["applied"]["channels"]) > set(CLIP)


def test_scenes_like_one_leave_it_out(library: Library) -> None:
    scene = library.scenes[ALICE][0]
    asked = library.ask(scene_id=str(scene.id), threshold=-1)
    reply = library.api.get(
        f"/v1/scenes/{scene.id}/similar", params={"threshold": -1}, headers=headers_of(ALICE)
    ).json()
    others = {str(one.id) for one in library.scenes[ALICE][1:]}
    assert set(scene_ids(asked)) == set(scene_ids(reply)) == others
    mixed = library.ask(scene_id=str(scene.id), text=words_of(said(library)), threshold=-1)
    assert str(scene.id) not in scene_ids(mixed)


def test_another_owners_scene_looks_like_none_at_all(library: Library) -> None:
    foreign, unknown = library.scenes[BOB][0].id, uuid4()
    for path in ("/v1/scenes/{}/similar",):
        replies = [
            library.api.get(path.format(one), headers=headers_of(ALICE))
            for one in (foreign, unknown)
        ]
        assert {reply.status_code for reply in replies} == {404}
        texts = {
            reply.text.replace(str(one), "…")
            for reply, one in zip(replies, (foreign, unknown), strict=True)
        }
        assert len(texts) == 1
    for one in (foreign, unknown):
        assert library.refused(scene_id=str(one)) == (404, "not_found")


def test_nobody_finds_another_owners_scenes_by_any_filter(library: Library) -> None:
    his = str(library.scenes[BOB][0].video_id)
    answer = library.ask(text=words_of(said(library)), threshold=-1, filters={"video_ids": [his]})
    assert answer["data"] == []
    assert set(scene_ids(library.ask(text="word", threshold=-1, limit=100))) == {
        str(one.id) for one in library.scenes[ALICE]
    }


def test_the_modes_and_the_weights_decide_how_much_a_channel_counts(library: Library) -> None:
    seen = library.ask(text="red", mode="visual_only")["applied"]["weights"]
    assert seen["visual_clip"] == 1
    assert sum(seen.values()) == 1
    heavy = library.ask(text="red", mode="text_heavy")["applied"]["weights"]
    assert heavy["visual_clip"] == pytest.approx(0.3)
    own = library.ask(text="red", mode="visual_only", weights={"transcript": 1, "lexical": 3})
    assert own["applied"]["mode"] is None
    assert own["applied"]["weights"]["lexical"] == 0.75
    assert own["applied"]["weights"]["visual_clip"] == 0


def test_a_share_of_what_is_seen_wins_over_the_mode_and_weights_win_over_it(
    library: Library,
) -> None:
    for share in (0.0, 0.85, 1.0):
        applied = library.ask(text="red", mode="text_heavy", vision_share=share)["applied"]
        assert applied["weights"]["visual_clip"] == pytest.approx(share)
        assert (applied["mode"], applied["vision_share"]) == (None, share)
    assert library.ask(text="red", mode="text_heavy")["applied"]["vision_share"] == 0.3
    own = library.ask(text="red", vision_share=0, weights={"visual_clip": 1})["applied"]
    assert (own["weights"]["visual_clip"], own["vision_share"]) == (1, None)


def test_the_quick_searches_answer_a_get(library: Library) -> None:
    word = words_of(said(library))
    headers = headers_of(ALICE)
    texts = library.api.get(f"/search/quick?q={word}&limit=3", headers=headers)
    both = library.api.get(
        f"/search/multimodal/quick?q={word}&mode=vision_heavy&limit=3", headers=headers
    )
    assert texts.status_code == both.status_code == 200
    assert "visual_clip" not in texts.json()["applied"]["channels"]
    assert both.json()["applied"]["weights"]["visual_clip"] == pytest.approx(0.7)
    assert len(texts.json()["data"]) <= 3


def test_where_no_picture_was_embedded_the_mode_is_answered_in_words_and_says_so(
    api: TestClient, alice: UUID, bob: UUID, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        for owner in (alice, bob):
            video = a_video(connection, owner=owner)
            a_scene(connection, owner=owner, video=video, transcript="Drilling a hole.")

    def asked(line: str) -> tuple[int, list[str]]:
        answer = api.get(line, headers=headers_of(alice)).json()
        return len(answer["data"]), [one["channel"] for one in answer["degraded"]]

    assert asked("/search/quick?q=drilling&limit=10") == (1, [])
    for line in ("mode=balanced", "mode=balanced&limit=10", "mode=vision_heavy&limit=10"):
        assert asked(f"/search/multimodal/quick?q=drilling&{line}") == (1, ["visual_clip"])
    # What was to be seen is not made up for by words.
    assert asked("/search/multimodal/quick?q=drilling&mode=visual_only") == (0, ["visual_clip"])


def test_a_typing_error_is_answered_and_said(library: Library) -> None:
    word = words_of(said(library))
    wrong = word[:2] + word[3:]
    answer = library.ask(text=wrong, channels=["lexical"])
    assert str(said(library).id) in scene_ids(answer)
    assert word.lower() in answer["corrections"][wrong.lower()]


BAD: list[tuple[dict[str, Any], int]] = [
    ({}, 422),
    ({"text": "   "}, 422),
    ({"text": "x" * 2001}, 422),
    ({"text": "a\0b"}, 422),
    ({"text": "red", "limit": 0}, 422),
    ({"text": "red", "limit": 101}, 422),
    ({"text": "red", "limit": 10**30}, 422),
    ({"text": "red", "channels": []}, 422),
    ({"text": "red", "channels": ["audio"]}, 422),
    ({"text": "red", "weights": {"lexical": -1}}, 422),
    ({"text": "red", "weights": {"lexical": 0}, "channels": ["lexical"]}, 422),
    ({"text": "red", "threshold": 2}, 422),
    ({"text": "red", "mode": "visual_only", "channels": ["lexical"]}, 422),
    ({"text": "red", "vision_share": 1.1}, 422),
    ({"text": "red", "vision_share": 1, "channels": ["lexical"]}, 422),
    ({"image": base64.b64encode(picture()).decode(), "vision_share": 0}, 422),
    ({"text": "red", "owner_id": str(BOB)}, 422),
    ({"image": "no base64!"}, 422),
    ({"image": base64.b64encode(b"no picture").decode()}, 422),
    ({"image": base64.b64encode(picture()).decode(), "channels": ["lexical"]}, 422),
    ({"text": "red", "filters": {"from_ms": -1}}, 422),
    ({"text": "red", "filters": {"tags": ["a\ud800"]}}, 422),
    ({"text": "red", "rerank": True}, 422),
]


@pytest.mark.parametrize(("body", "status"), BAD)
def test_what_cannot_be_meant_is_a_problem_with_a_code(
    library: Library, body: dict[str, Any], status: int
) -> None:
    assert library.refused(**body)[0] == status


@pytest.mark.parametrize(
    "text",
    ["'; drop table scenes; --", "a & | ! ( :* <-> b", '"unbalanced', "\\", "%_", "'", "-x", "…🎬"],
)
def test_no_text_is_read_as_a_command(library: Library, text: str) -> None:
    library.ask(text=text)


def test_a_channel_that_cannot_answer_is_named_and_the_others_answer(library: Library) -> None:
    answer = library.ask(text=words_of(said(library)), channels=["summary", "lexical"])
    assert [one["channel"] for one in answer["degraded"]] == ["summary"]
    assert answer["data"]
    assert {one["channel"] for hit in answer["data"] for one in hit["reasons"]} == {
        SearchChannel.LEXICAL
    }


class Alphabet:
    """A cross-encoder that likes what comes late in the alphabet, until it is broken."""

    def __init__(self) -> None:
        self.broken = False

    def rank(self, _query: str, texts: Sequence[str]) -> list[float]:
        if self.broken:
            raise Unavailable("The cross-encoder is busy.")
        return [float(ord(text[0].lower())) for text in texts]


def test_a_cross_encoder_orders_the_best_hits_and_without_it_the_order_is_the_usual(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Alphabet()
    services = library.api.app.state.services  # type: ignore[attr-defined]
    monkeypatch.setattr(services, "reranker", model)
    asked: dict[str, Any] = {"text": words_of(said(library)), "threshold": -1}
    usual = library.ask(**asked)
    ranked = library.ask(**asked, rerank=True)
    assert ranked["degraded"] == []
    assert "rerank" in ranked["timing_ms"]["channels"]
    assert set(scene_ids(ranked)) == set(scene_ids(usual))
    relevance = [hit["relevance"] for hit in ranked["data"] if hit["relevance"] is not None]
    assert relevance == sorted(relevance, reverse=True)
    assert len(set(relevance)) > 1
    # Pages follow the new order.
    first = library.ask(**asked, rerank=True, limit=2)
    token = first["page"]["next_token"]
    second = library.ask(**asked, rerank=True, limit=2, page_token=token)
    assert scene_ids(first) + scene_ids(second) == scene_ids(ranked)[:4]
    model.broken = True
    broken = library.ask(**asked, rerank=True)
    assert [one["channel"] for one in broken["degraded"]] == ["rerank"]
    assert scene_ids(broken) == scene_ids(usual)
    assert {hit["relevance"] for hit in broken["data"]} == {None}


def test_searches_are_logged_without_what_was_looked_for(library: Library) -> None:
    library.ask(text="a secret wish")
    services = library.api.app.state.services  # type: ignore[attr-defined]
    services.search_log.close()
    with psycopg.connect(library.url) as tx:
        rows = tx.execute(
            "select owner_id, took_ms, timing_ms, hits from public.searches"
        ).fetchall()
        everything = tx.execute("select searches::text from public.searches").fetchall()
    assert {row[0] for row in rows} >= {ALICE}
    assert all(row[1] > 0 for row in rows)
    assert not any("secret" in text for (text,) in everything)


def test_words_that_take_long_to_find_do_not_keep_the_other_channels(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(library.url, autocommit=True) as tx:
        row = tx.execute(
            "select pg_get_functiondef('scenebook.scenes_by_words'::regproc)"
        ).fetchone()
        assert row is not None
        quick: str = row[0]
        slow = quick.replace("\nbegin\n", "\nbegin\n    perform pg_catalog.pg_sleep(5);\n", 1)
        assert slow != quick
        tx.execute(slow.encode())
        monkeypatch.setattr("scenebook.wanted.WORDS_S", 0.2)
        try:
            answer = library.ask(text=words_of(said(library)), threshold=-1)
        finally:
            tx.execute(quick.encode())
    assert answer["data"]
    (degraded,) = answer["degraded"]
    assert degraded["channel"] == "lexical"
    assert "too long" in degraded["reason"]
    assert not any(one["channel"] == "lexical" for one in answer["data"][0]["reasons"])
