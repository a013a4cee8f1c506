"""Videos, scenes and transcripts over HTTP: read, paged, changed, indexed again, deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from starlette.testclient import TestClient

from api.media import keyframe_url, stream_url
from scenebook.model import Channel, Stage, Utterance, UtteranceSource
from scenebook.settings import Settings
from scenebook.signing import Signer, secret_of
from scenebook.subtitles import parse_subtitles, to_srt, to_vtt
from tests.clips import still, write
from tests.indexed import SUBTITLES, VIDEO
from tests.pipelines import Pipeline
from tests.rows import a_library, a_scene, a_space, a_video
from tests.serving import api_in_process, headers_of


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of two scenes that is soon indexed."""
    path = tmp_path / "clip.mp4"
    write(path, [*still(1, 30), *still(2, 30)])
    return path


def titled(connection: psycopg.Connection, owner: UUID, *titles: str) -> list[UUID]:
    """Videos of an owner, each a minute younger than the one before."""
    made = []
    for minute, title in enumerate(titles):
        video = a_video(connection, owner=owner)
        connection.execute(
            "update public.videos set title = %s, created_at = %s where id = %s",
            (title, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute), video),
        )
        made.append(video)
    return made


def pages(api: TestClient, path: str, owner: UUID, **params: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    found = []
    while True:
        reply = api.get(path, params=params, headers=headers_of(owner))
        assert reply.status_code == 200, reply.text
        found.append(reply.json()["data"])
        params["page_token"] = reply.json()["page"]["next_token"]
        if params["page_token"] is None:
            return found


def test_a_video_shows_the_best_picture_of_how_it_begins(
    api: TestClient, connection: psycopg.Connection, alice: UUID, bob: UUID
) -> None:
    video, nothing = titled(connection, alice, "pictures", "none")
    of_bob = titled(connection, bob, "another's")[0]
    best = {}
    for owner, film, scene_index, rank, score in (
        (alice, video, 0, 0, 0.4),
        (alice, video, 3, 0, 0.8),
        (alice, video, 3, 1, 0.9),  # not the best frame of its scene
        (alice, video, 4, 0, 0.7),
        (alice, video, 60, 0, 1.0),  # long after it began
        (bob, of_bob, 0, 0, 0.2),
    ):
        scene = _scene_of(connection, owner, film, scene_index)
        row = connection.execute(
            "insert into public.keyframes (owner_id, scene_id, at_ms, rank, quality, image_key,"
            " image_hash) values (%s, %s, 0, %s, %s, 'k', 'h') returning id",
            (owner, scene, rank, json.dumps({"quality_score": score})),
        ).fetchone()
        assert row is not None
        best[film, score] = row[0]
    listed = {
        one["id"]: one for one in api.get("/v1/videos", headers=headers_of(alice)).json()["data"]
    }
    assert set(listed) == {str(video), str(nothing)}
    assert f"/v1/keyframes/{best[video, 0.8]}?" in listed[str(video)]["keyframe_url"]
    assert listed[str(nothing)]["keyframe_url"] is None
    shown = api.get(f"/v1/videos/{of_bob}", headers=headers_of(bob)).json()
    assert f"/v1/keyframes/{best[of_bob, 0.2]}?" in shown["keyframe_url"]


def _scene_of(connection: psycopg.Connection, owner: UUID, video: UUID, scene_index: int) -> UUID:
    found = connection.execute(
        "select id from public.scenes where video_id = %s and scene_index = %s",
        (video, scene_index),
    ).fetchone()
    return found[0] if found else a_scene(connection, owner=owner, video=video, index=scene_index)


def test_an_indexed_video_is_read_with_stages_channels_scenes_and_words(
    api: TestClient, pipeline: Pipeline, alice: UUID
) -> None:
    video = pipeline.index(VIDEO, owner_id=alice, transcript=SUBTITLES)
    mine = headers_of(alice)
    read = api.get(f"/v1/videos/{video.id}", headers=mine).json()
    assert (read["status"], read["progress"], read["stage"]) == ("ready", 1.0, None)
    assert read["container"]["format"] == "QuickTime / MOV"
    assert read["metadata"] == {}
    assert {one["state"] for one in read["stages"]} == {"succeeded"}
    assert read["coverage"]["scenes"] == read["scene_count"] > 1
    spoken = read["coverage"]["transcript"]
    assert spoken == read["channels"]["transcript"]["ok"] > 0

    [listed] = api.get("/v1/videos", headers=mine).json()["data"]
    assert listed.items() <= read.items()

    scenes = [
        scene
        for page in pages(api, f"/v1/videos/{video.id}/scenes", alice, limit=2)
        for scene in page
    ]
    assert [scene["scene_index"] for scene in scenes] == list(range(read["scene_count"]))
    assert scenes[0]["start_ms"] == 0
    assert scenes[0]["end_ms"] == scenes[1]["start_ms"]
    assert set(scenes[0]["channels"]) == set(Channel)
    assert scenes[0]["channels"]["visual_clip"]["status"] == "disabled"
    assert api.get(f"/v1/scenes/{scenes[1]['id']}", headers=mine).json() == scenes[1]
    picture = api.get(scenes[0]["keyframes"][0]["url"])
    assert picture.headers["content-type"] == "image/jpeg"

    words = api.get(f"/v1/videos/{video.id}/transcript", headers=mine).json()
    texts = [line["text"] for line in words["utterances"]]
    assert texts
    assert words["utterances"][0]["source"] == "subtitles"
    for kind, media_type in (("vtt", "text/vtt"), ("srt", "application/x-subrip")):
        path = f"/v1/videos/{video.id}/transcript?format={kind}"
        file = api.get(path, headers=mine)
        assert file.headers["content-type"].startswith(media_type)
        assert [line.text for line in parse_subtitles(file.content, name=kind)] == texts


def test_transcript_files_survive_arrows_markup_and_several_lines() -> None:
    source = UtteranceSource.WHISPER
    lines = [
        Utterance(0, 1500, "a <b>bold</b> & brave\nclaim", source, speaker="Ann <3"),
        Utterance(3_600_000, 3_661_001, "1 --> 2 --> 3", source),
    ]
    [first, second] = parse_subtitles(to_vtt(lines).encode(), name="vtt")
    assert (first.text, first.speaker) == ("a <b>bold</b> & brave claim", "Ann <3")
    assert (second.start_ms, second.end_ms) == (3_600_000, 3_661_001)
    assert second.text == "1 --> 2 --> 3"
    assert "01:00:00,000 --> 01:01:01,001\n1 -> 2 -> 3" in to_srt(lines)


def test_pages_of_videos_are_stable_while_videos_come_and_go(
    api: TestClient, connection: psycopg.Connection, alice: UUID, bob: UUID
) -> None:
    made = titled(connection, alice, "one", "two", "three", "four", "five")
    titled(connection, bob, "his")
    connection.execute(
        "update public.videos set created_at = '2026-01-01' where id = any(%s)", (made[:3],)
    )
    first = api.get("/v1/videos", params={"limit": 3}, headers=headers_of(alice)).json()
    a_video(connection, owner=alice)
    connection.execute("delete from public.videos where id = %s", (first["data"][2]["id"],))
    rest = pages(api, "/v1/videos", alice, limit=1, page_token=first["page"]["next_token"])
    seen = [one["id"] for one in first["data"] + [one for page in rest for one in page]]
    assert seen == [str(made[4]), str(made[3]), *sorted(map(str, made[:3]))]


def test_videos_are_filtered_by_status_and_by_a_part_of_the_title(
    api: TestClient, connection: psycopg.Connection, alice: UUID
) -> None:
    made = titled(connection, alice, "A walk (100%)", "The WALK_home", "Rain")
    gone = a_video(connection, owner=alice, status="deleting")

    def ids(**params: str) -> list[str]:
        return [one["id"] for page in pages(api, "/v1/videos", alice, **params) for one in page]

    assert ids(title="walk") == [str(made[1]), str(made[0])]
    assert ids(title="%") == [str(made[0])]
    assert ids(title="_") == [str(made[1])]
    assert ids(status="failed") == []
    assert ids(status="deleting") == [str(gone)]
    assert str(gone) not in ids()


def test_page_tokens_are_refused_when_changed_expired_or_of_another_list(
    api: TestClient, settings: Settings, connection: psycopg.Connection, alice: UUID, bob: UUID
) -> None:
    titled(connection, alice, "one", "two")
    titled(connection, bob, "his", "hers")
    services = api.app.state.services  # type: ignore[attr-defined]

    def token() -> str:
        first = api.get("/v1/videos?limit=1", headers=headers_of(alice)).json()
        return str(first["page"]["next_token"])

    def answer(owner: UUID, token: str, **params: str) -> tuple[int, str]:
        params |= {"page_token": token}
        reply = api.get("/v1/videos", params=params, headers=headers_of(owner))
        return reply.status_code, reply.json().get("code", "")

    good = token()
    assert answer(alice, good) == (200, "")
    for broken in (good[:-1], "x" + good, good + "A", "", ".", "å", "a.b", "\0"):
        assert answer(alice, broken) == (400, "invalid_token"), broken
    assert answer(alice, good, title="two") == (400, "invalid_token")
    assert answer(bob, good) == (400, "invalid_token")
    picture = keyframe_url(services, owner_id=alice, keyframe_id=uuid4())
    assert answer(alice, picture.partition("token=")[2]) == (400, "invalid_token")
    hours_ago = time.time() - 7200
    services.signer = Signer(secret_of(settings), clock=lambda: hours_ago)
    old = token()
    services.signer = Signer(secret_of(settings))
    assert answer(alice, old) == (410, "expired")


def test_a_page_of_scenes_expires_when_the_video_is_indexed_anew(
    api: TestClient, connection: psycopg.Connection, alice: UUID
) -> None:
    video = a_video(connection, owner=alice)
    old = [a_scene(connection, owner=alice, video=video, index=index) for index in range(3)]
    path = f"/v1/videos/{video}/scenes"
    token = api.get(f"{path}?limit=2", headers=headers_of(alice)).json()["page"]["next_token"]
    new = a_scene(connection, owner=alice, video=video, generation=2)
    assert api.get(f"/v1/scenes/{new}", headers=headers_of(alice)).status_code == 404
    connection.execute("update public.videos set generation = 2 where id = %s", (video,))
    reply = api.get(path, params={"page_token": token}, headers=headers_of(alice))
    assert (reply.status_code, reply.json()["code"]) == (410, "expired")
    assert [one["id"] for one in pages(api, path, alice)[0]] == [str(new)]
    assert api.get(f"/v1/scenes/{old[0]}", headers=headers_of(alice)).status_code == 404


def test_title_and_metadata_are_changed_and_survive_indexing_anew(
    api: TestClient, pipeline: Pipeline, clip: Path, alice: UUID
) -> None:
    video = pipeline.index(clip, owner_id=alice)
    mine, path = headers_of(alice), f"/v1/videos/{video.id}"
    metadata = {"project": "été", "take": 3, "nested": {"path": "C:\\u0000", "null": None}}
    changed = api.patch(path, json={"title": " Take 3 ", "metadata": metadata}, headers=mine)
    assert (changed.json()["title"], changed.json()["metadata"]) == ("Take 3", metadata)
    before = api.get(f"{path}/scenes", headers=mine).json()["data"][0]["id"]
    again = api.post(f"{path}/reprocess", headers=mine)
    assert (again.status_code, again.json()["status"]) == (202, "waiting")
    assert again.json()["stage"] == "probe"
    assert again.json()["progress"] == 0
    assert api.post(f"{path}/retry", headers=mine).json()["code"] == "conflict"
    pipeline.work(until=Stage.SEGMENT)
    halfway = api.get(path, headers=mine).json()
    assert 0.5 < halfway["progress"] < 1
    assert halfway["coverage"]["scenes"] > 0
    assert api.get(f"/v1/scenes/{before}", headers=mine).status_code == 200
    pipeline.work()
    assert api.get(f"/v1/scenes/{before}", headers=mine).status_code == 404
    read = api.get(path, headers=mine).json()
    assert (read["title"], read["metadata"]) == ("Take 3", metadata)
    assert read["container"]["format"] == "QuickTime / MOV"


# Bodies that cannot be stored, or read.
UNFIT = [
    b"{}",
    b'{"title": null}',
    b'{"title": " "}',
    b'{"title": "a\\u0000b"}',
    b'{"title": "\\ud800"}',
    b'{"status": "ready"}',
    b'{"metadata": [1]}',
    b'{"metadata": {"a": "\\u0000"}}',
    b'{"metadata": {"\\u0000": 1}}',
    b'{"metadata": {"a": "\\udfff"}}',
    b'{"metadata": {"a": NaN}}',
    b'{"metadata": {"a": 1e999}}',
    b'{"metadata": {"a": [' + b"1e300," * 100 + b"0]}}",
    b'{"metadata": {"a": "' + b"x" * 9000 + b'"}}',
    b'{"metadata": {"a": ' + b"[" * 3000 + b"]" * 3000 + b"}}",
    b'{"metadata": {"a": ' + b"9" * 5000 + b"}}",
]


def test_changes_that_cannot_be_stored_are_refused(
    api: TestClient, connection: psycopg.Connection, alice: UUID
) -> None:
    video = a_video(connection, owner=alice)
    headers = headers_of(alice) | {"Content-Type": "application/json"}
    refusals = ((422, "invalid_input"), (400, "malformed_request"))
    for body in UNFIT:
        reply = api.patch(f"/v1/videos/{video}", content=body, headers=headers)
        assert (reply.status_code, reply.json()["code"]) in refusals, body[:100]
    tags = {"tag": "x" * 65_000}
    connection.execute("update public.videos set metadata = %s", (json.dumps(tags),))
    reply = api.patch(f"/v1/videos/{video}", json={"metadata": {"a": "x" * 600}}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == refusals[0]
    assert api.patch(f"/v1/videos/{video}", json={"title": "b"}, headers=headers).is_success


def test_a_video_is_cancelled_retried_and_deleted(
    api: TestClient, pipeline: Pipeline, clip: Path, alice: UUID
) -> None:
    video = pipeline.index(clip, owner_id=alice)
    mine, path = headers_of(alice), f"/v1/videos/{video.id}"

    def post(what: str, body: dict[str, str] | None = None) -> tuple[int, str]:
        reply = api.post(f"{path}/{what}", json=body, headers=mine)
        return reply.status_code, reply.json().get("code") or reply.json()["status"]

    assert post("cancel") == (409, "conflict")
    assert post("retry") == (202, "ready")
    assert post("retry", {"stage": "probe", "channel": "visual"}) == (422, "invalid_input")
    assert post("retry", {"stage": "delete"}) == (422, "invalid_input")
    assert post("retry", {"stage": "nonsense"}) == (422, "invalid_input")
    assert post("retry", {"channel": "transcript"}) == (202, "waiting")
    assert post("cancel") == (200, "cancelled")
    assert post("retry") == (202, "waiting")
    pipeline.work()
    scene = api.get(f"{path}/scenes", headers=mine).json()["data"][0]
    source = api.get(path, headers=mine).json()["stream_url"]
    assert api.delete(path, headers=mine).json()["status"] == "deleting"
    assert api.delete(path, headers=mine).status_code == 202
    assert api.get(path, headers=mine).json()["status"] == "deleting"
    for gone in (f"{path}/scenes", f"{path}/transcript", f"{path}/events", source):
        assert api.get(gone, headers=mine).status_code == 404, gone
    for gone in (f"/v1/scenes/{scene['id']}", scene["keyframes"][0]["url"]):
        assert api.get(gone, headers=mine).status_code == 404, gone
    assert post("retry") == post("reprocess") == post("cancel") == (409, "conflict")
    assert api.patch(path, json={"title": "x"}, headers=mine).status_code == 409
    pipeline.work()
    assert api.get(path, headers=mine).status_code == 404


def test_another_owners_things_look_like_none_at_all(
    api: TestClient, connection: psycopg.Connection, alice: UUID, bob: UUID
) -> None:
    video = a_library(connection, owner=alice, space=a_space(connection))
    [scene], [keyframe] = (
        connection.execute(f"select id from public.{table}").fetchone() or ()
        for table in ("scenes", "keyframes")
    )
    before = api.get(f"/v1/videos/{video}", headers=headers_of(alice)).json()
    routes: list[tuple[str, str, UUID, Any]] = [
        ("GET", "/v1/videos/{}", video, None),
        ("GET", "/v1/videos/{}/scenes", video, None),
        ("GET", "/v1/videos/{}/transcript", video, None),
        ("GET", "/v1/videos/{}/events", video, None),
        ("GET", "/v1/videos/{}/stream", video, None),
        ("HEAD", "/v1/videos/{}/stream", video, None),
        ("POST", "/v1/videos/{}/retry", video, {}),
        ("POST", "/v1/videos/{}/reprocess", video, None),
        ("POST", "/v1/videos/{}/cancel", video, None),
        ("PATCH", "/v1/videos/{}", video, {"title": "mine now"}),
        ("DELETE", "/v1/videos/{}", video, None),
        ("GET", "/v1/scenes/{}", scene, None),
        ("GET", "/v1/keyframes/{}", keyframe, None),
        ("HEAD", "/v1/keyframes/{}", keyframe, None),
    ]
    for method, route, item, body in routes:
        nobodys = uuid4()
        answers = [
            api.request(method, route.format(one), json=body, headers=headers_of(bob))
            for one in (item, nobodys)
        ]
        assert [one.status_code for one in answers] == [404, 404], (method, route)
        his, none = (one.text for one in answers)
        assert his.replace(str(item), str(nobodys)) == none
        wrong = api.request(method, route.format("1; drop"), json=body, headers=headers_of(bob))
        assert wrong.status_code == 422, (method, route)
        nobody = api.request(method, route.format(item), json=body)
        assert nobody.status_code == 401, (method, route)
    assert api.get("/v1/videos", headers=headers_of(bob)).json()["data"] == []
    after = api.get(f"/v1/videos/{video}", headers=headers_of(alice)).json()
    for changing in ("stream_url", "events_url", "eta_s"):
        del before[changing], after[changing]
    assert after == before


def test_signed_urls_are_absolute_when_the_public_url_is_known(
    settings: Settings, database_url: str
) -> None:
    video = uuid4()
    changed = settings.model_copy(update={"public_url": "https://clips.example/"})
    with api_in_process(changed) as api:
        url = stream_url(api.app.state.services, owner_id=uuid4(), video_id=video)  # type: ignore[attr-defined]
    assert url.startswith(f"https://clips.example/v1/videos/{video}/stream?token=")
