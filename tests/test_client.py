"""The Python client against a running service: everything it offers, for two owners, either way."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from scenebook import errors
from scenebook.client import (
    ApiError,
    AsyncScenebook,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotFound,
    Scenebook,
    Unauthorized,
    Unreachable,
    models,
    steps,
)
from scenebook.settings import Settings
from tests.conftest import ALICE, BOB
from tests.indexed import FAKE_CLIP, SUBTITLES, VIDEO
from tests.pictures import png
from tests.pipelines import Pipeline, a_pipeline, settings_for
from tests.postgres import Server
from tests.serving import running_api, token_of, with_tokens
from tests.stack import free_port

SHORT = Path(__file__).parent / "media" / "edge" / "rotate_90.mov"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "client.md"
WORDS = "tacos al pastor are my favorite"


@dataclass(frozen=True)
class Service:
    """A running service, its pipeline in this process, and a video of either owner."""

    url: str
    settings: Settings
    pipeline: Pipeline
    videos: dict[UUID, models.VideoDetail]

    def client(self, owner: UUID = ALICE) -> Scenebook:
        return Scenebook(self.url, token_of(owner))

    def async_client(self, owner: UUID = ALICE) -> AsyncScenebook:
        return AsyncScenebook(self.url, token_of(owner))


@pytest.fixture(scope="module")
def service(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("data")
    with postgres_server.database() as url:
        settings = with_tokens(settings_for(url, data, **FAKE_CLIP))
        with a_pipeline(settings) as pipeline, running_api(settings) as base:
            made = Service(base, settings, pipeline, {})
            for owner, file, words in ((ALICE, VIDEO, SUBTITLES), (BOB, SHORT, None)):
                with made.client(owner) as client, pipeline.at_work():
                    added = client.upload(file, transcript=words, metadata={"of": "tests"})
                    assert added.created is True
                    made.videos[owner] = client.wait(added.id, timeout=120)
            yield made


@pytest.fixture
def client(service: Service) -> Iterator[Scenebook]:
    with service.client() as made:
        yield made


def test_a_video_is_uploaded_and_waited_for(service: Service, client: Scenebook) -> None:
    video = service.videos[ALICE]
    assert (video.status, video.title, video.metadata) == ("ready", VIDEO.name, {"of": "tests"})
    assert video.coverage["visual_clip"] == video.scene_count > 0
    again = client.upload(VIDEO, transcript=SUBTITLES)
    assert (again.id, again.created) == (video.id, False)
    scenes = list(client.scenes(video.id, page_size=3))
    assert [one.scene_index for one in scenes] == list(range(video.scene_count))
    assert client.scene(scenes[0].id).channels["visual_clip"].status == "ok"
    assert client.keyframe(scenes[0].keyframes[0].id)[:2] == b"\xff\xd8"
    said = client.transcript(video.id)
    assert said.video_id == video.id
    assert said.utterances[0].source == "subtitles"
    assert client.subtitles(video.id).startswith("WEBVTT")


def test_videos_come_page_by_page_and_are_changed_and_deleted(
    service: Service, tmp_path: Path
) -> None:
    with service.client(BOB) as client:
        made = []
        for number in range(3):
            path = tmp_path / f'a "film" {number}.mp4'
            path.write_bytes(b"a film %d" % number)
            made.append(client.upload(path, language="en"))
        assert made[0].title == 'a "film" 0.mp4'
        names = [one.id for one in client.videos(page_size=1)]
        assert names == [*(one.id for one in reversed(made)), service.videos[BOB].id]
        assert client.update(made[0].id, title="Another").title == "Another"
        assert [one.id for one in client.videos(title="noth")] == [made[0].id]
        assert client.cancel(made[0].id).status == "cancelled"
        assert client.retry(made[0].id).status == "waiting"
        for one in made:
            assert client.delete(one.id).status == "deleting"
        assert [one.id for one in client.videos()] == [service.videos[BOB].id]
        with pytest.raises(NotFound):
            client.wait(made[0].id)


def test_searches_by_words_picture_and_scene(service: Service, client: Scenebook) -> None:
    answer = client.search(WORDS, channels=["transcript", "lexical"], mode="text_heavy", limit=5)
    best = answer.data[0]
    assert best.transcript is not None
    assert "Tacos" in best.transcript.text
    assert best.transcript.highlights
    assert best.video_id == service.videos[ALICE].id
    assert (answer.applied["limit"], answer.pool["videos"]) == (5, 1)
    assert {one.channel for one in best.reasons} == {"transcript", "lexical"}
    keyframe = client.scene(best.scene_id).keyframes[0]
    picture = client.keyframe(keyframe.id)
    for found in (
        client.search(image=picture, threshold=-1.0),
        client.search("tacos", image=picture, channels=["visual_clip"], threshold=-1.0),
    ):
        assert found.data[0].reasons[0].similarity is not None
    likeness = client.similar(best.scene_id, threshold=-1, limit=3)
    assert best.scene_id not in {hit.scene_id for hit in likeness.data}
    of_scene = client.search(scene_id=best.scene_id, threshold=-1.0, limit=3)
    assert [hit.scene_id for hit in of_scene.data] == [hit.scene_id for hit in likeness.data]
    only = client.search("the", filters={"video_ids": [uuid4()], "has_speech": True})
    assert only.data == ()
    rows = client.rpc(
        "search_scenes_by_text", query_text="tacos", filter_user_id=ALICE, match_count=1
    )
    assert [row["scene_id"] for row in rows] == [str(best.scene_id)]


def test_pages_of_a_search_are_the_whole_in_parts(client: Scenebook) -> None:
    whole = client.search("and the", limit=6, threshold=-1.0)
    pages = []
    for page in client.search_pages("and the", limit=2, threshold=-1.0):
        pages.append(page)
        if len(pages) == 3:
            break
    found = [hit.scene_id for page in pages for hit in page.data]
    assert found == [hit.scene_id for hit in whole.data]
    assert len(set(found)) == 6


def test_events_tell_of_every_change_until_the_end(service: Service) -> None:
    with service.client(BOB) as client:
        video = client.reprocess(service.videos[BOB].id)
        assert video.status == "waiting"
        with service.pipeline.at_work():
            told = list(client.events(video.id))
    assert told[0].status in ("waiting", "processing")
    assert (told[-1].status, told[-1].progress) == ("ready", 1.0)
    assert [one.progress for one in told] == sorted(one.progress for one in told)


class Silent(httpx.HTTPTransport):
    """A proxy that lets no events through."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            raise httpx.ReadTimeout("nothing came")
        return super().handle_request(request)


def test_where_no_events_come_through_it_looks_again_and_again(service: Service) -> None:
    video = service.videos[ALICE]
    with Scenebook(service.url, token_of(ALICE), transport=Silent()) as client:
        assert [one.status for one in client.events(video.id)] == ["ready"]
        assert client.wait(video.id).id == video.id


def test_waiting_ends_in_time(service: Service, client: Scenebook, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"nobody works on this one")
    video = client.upload(path)
    with pytest.raises(DeadlineExceeded, match="waiting still"):
        client.wait(video.id, timeout=0.1)
    client.delete(video.id)


def test_another_owners_things_look_like_none_at_all(service: Service) -> None:
    video = service.videos[ALICE]
    scene = next(iter(service.client().scenes(video.id)))
    with service.client(BOB) as bob:
        calls: list[Callable[[UUID], object]] = [
            bob.video,
            bob.wait,
            bob.transcript,
            bob.delete,
            bob.retry,
            lambda id: list(bob.scenes(id)),
            lambda id: list(bob.events(id)),
        ]
        refused = []
        for id in (video.id, uuid4()):
            for call in calls:
                with pytest.raises(NotFound) as caught:
                    call(id)
                refused.append((caught.value.code, caught.value.detail.replace(str(id), "ID")))
        assert refused[: len(calls)] == refused[len(calls) :]
        answer = bob.search(WORDS, threshold=-1.0)
        assert {hit.video_id for hit in answer.data} == {service.videos[BOB].id}
        with pytest.raises(NotFound):
            bob.similar(scene.id)
        with pytest.raises(NotFound):
            bob.keyframe(scene.keyframes[0].id)


def test_errors_say_what_and_where(service: Service, client: Scenebook) -> None:
    with pytest.raises(InvalidInput) as caught:
        client.search("x", channels=["smell"])
    error = caught.value
    assert (error.status, error.code) == (422, "invalid_input")
    assert "channels" in error.detail
    assert error.request_id
    assert isinstance(error, errors.InvalidInput | ApiError)
    with pytest.raises(Conflict):
        client.cancel(service.videos[ALICE].id)
    with pytest.raises(NotFound):
        client.video("../keys")
    with pytest.raises(errors.InvalidInput, match="cannot be sent as JSON"):
        client.search("x", threshold=float("nan"))
    with pytest.raises(ApiError) as caught_rpc:
        client.rpc("no_such_function")
    assert (caught_rpc.value.status, caught_rpc.value.code) == (404, "PGRST202")
    with Scenebook(service.url, "sbk_wrong") as stranger, pytest.raises(Unauthorized):
        stranger.video(uuid4())
    for url, key in [("ftp://host", None), ("nonsense", None), (service.url, "a\nb")]:
        with pytest.raises(errors.ConfigurationError):
            Scenebook(url, key)


def test_a_service_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "FIRST_PAUSE_S", 0.001)
    with Scenebook(f"http://127.0.0.1:{free_port()}") as client:
        for call in (client.video, client.cancel):
            with pytest.raises(Unreachable, match="does not answer"):
                call(uuid4())


def test_keys_are_made_used_and_revoked(service: Service, client: Scenebook) -> None:
    made = client.keys.create("a reader", scopes=["read"], expires_days=1)
    assert made.secret not in repr(made)
    with Scenebook(service.url, made.secret) as reader:
        assert reader.video(service.videos[ALICE].id).status == "ready"
        with pytest.raises(Forbidden):
            reader.delete(service.videos[ALICE].id)
    with service.client(BOB) as bob:
        assert bob.keys.list() == ()
        with pytest.raises(NotFound):
            bob.keys.revoke(made.key.id)
    client.keys.revoke(made.key.id)
    assert client.keys.list()[0].revoked_at is not None


def test_webhooks_are_kept_for_their_owner(service: Service, client: Scenebook) -> None:
    made = client.webhooks.add("https://93.184.215.14/hook", events=["video.ready"])
    assert made.secret is not None
    assert made.secret not in repr(made)
    assert client.webhooks.get(made.id).secret is None
    assert client.webhooks.rotate(made.id).secret != made.secret
    queued = client.webhooks.test(made.id)
    assert [one.id for one in client.webhooks.deliveries(made.id)] == [queued.id]
    assert client.webhooks.change(made.id, enabled=False).enabled is False
    with service.client(BOB) as bob:
        assert bob.webhooks.list() == ()
        with pytest.raises(NotFound):
            list(bob.webhooks.deliveries(made.id))
    client.webhooks.remove(made.id)
    assert client.webhooks.list() == ()


def test_the_other_kind_of_client_does_the_same(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png("red"))

    async def all_of_it() -> None:
        video = service.videos[ALICE]
        async with service.async_client() as client, service.async_client(BOB) as bob:
            assert (await client.wait(video.id)).id == video.id
            assert [one.id async for one in client.videos(page_size=1)] == [video.id]
            assert [one.status async for one in client.events(video.id)] == ["ready"]
            answers = await asyncio.gather(*(client.search(WORDS, limit=1) for _ in range(3)))
            assert len({answer.data[0].scene_id for answer in answers}) == 1
            assert (await client.search(image=path, threshold=-1.0)).data
            pages = [page async for page in client.search_pages("and the", limit=100)]
            assert pages[-1].page.next_token is None
            assert await client.webhooks.list() == ()
            uploaded = await client.upload(VIDEO, transcript=SUBTITLES)
            assert (uploaded.id, uploaded.created) == (video.id, False)
            with pytest.raises(NotFound):
                await bob.video(video.id)

    asyncio.run(all_of_it())


def test_the_client_loads_no_database_and_no_model() -> None:
    heavy = "sqlalchemy psycopg numpy torch onnxruntime PIL celery fastapi pydantic_settings"
    code = f"import sys, scenebook.client; print(*(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_newer_service_may_say_more() -> None:
    said: dict[str, Any] = {"status": "dreaming", "error": None, "metadata": {}, "mood": "good"}
    state = models.ChannelState.model_validate(said)
    assert state.status == "dreaming"
    with pytest.raises(ValueError, match="frozen"):
        state.status = "awake"


def test_the_examples_on_the_page_run(
    service: Service, client: Scenebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = client.keys.create("docs", scopes=["read", "write", "admin"]).secret
    Path("talk.mp4").write_bytes(VIDEO.read_bytes())
    Path("talk.vtt").write_bytes(SUBTITLES.read_bytes())
    Path("photo.png").write_bytes(png("red"))
    names: dict[str, Any] = {"owner_id": ALICE}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M):
        code = block.replace("https://scenebook.example.com", service.url).replace("sbk_…", key)
        with service.pipeline.at_work():
            exec(code, names)
