"""No picture of a query costs the service more than an answer: not its model, memory or time."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from starlette.testclient import TestClient

from tests import clips
from tests.conftest import ALICE, BOB
from tests.hostile_pictures import GOOD, a_jpeg_of_comments, hostile_pictures
from tests.indexed import FAKE_CLIP
from tests.pictures import png
from tests.pipelines import a_pipeline, settings_for
from tests.postgres import Server
from tests.serving import api_in_process, headers_of, with_tokens

# What the child has in use besides its model; a picture of 40 million pixels has 160 MB.
MOST_MEMORY_MB = 900
IMAGE = ["visual_clip"]
# The service waits as long as it ever does, and one failure of the model closes it to all.
STRICT = {"clip_timeout_s": 5, "clip_breaker_failures": 1, "rate_limit_owner": "1000000/minute"}


@dataclass(frozen=True)
class Service:
    """The API with an indexed video of Alice."""

    api: TestClient

    def search(self, content: bytes, *, owner: UUID = ALICE) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to an uploaded picture."""
        files = {"file": ("a.png", content, "image/png")}
        answer = self.api.post("/v1/search/image", files=files, headers=headers_of(owner))
        return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def service(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with postgres_server.database() as url:
        settings = with_tokens(
            settings_for(url, tmp_path_factory.mktemp("data"), **FAKE_CLIP, **STRICT)
        )
        film = clips.write(tmp_path_factory.mktemp("film") / "film.mp4", clips.still(1, 10))
        with a_pipeline(settings) as pipeline:
            pipeline.index(film, owner_id=ALICE)
        with api_in_process(settings) as api:
            yield Service(api)


@pytest.fixture(scope="module")
def pictures() -> dict[str, tuple[bytes, int]]:
    return hostile_pictures()


def inference() -> psutil.Process:
    """The process that decodes the pictures of queries."""
    (found,) = (
        one
        for one in psutil.Process().children(recursive=True)
        if "scenebook.encoders.child" in one.cmdline()
    )
    return found


def test_every_hostile_picture_is_answered_and_the_model_lives_on(
    service: Service, pictures: dict[str, tuple[bytes, int]]
) -> None:
    assert service.search(png())[0] == GOOD
    child = inference()
    files = set(Path(f"/proc/{child.pid}/cwd").iterdir())
    wrong = {}
    for name, (content, wanted) in pictures.items():
        assert len(content) < 20_000_000, name
        status, body = service.search(content)
        if status != wanted or (status != GOOD and body["code"] != "invalid_query"):
            wrong[name] = (status, body.get("detail", body))
        if status == GOOD and body["degraded"]:
            wrong[name] = (status, body["degraded"])
        if (answer := service.search(png(), owner=BOB)) and answer[0] != GOOD:
            wrong[f"after {name}"] = answer
    assert wrong == {}
    assert inference().pid == child.pid, "a picture cost the child its life"
    assert not child.children(recursive=True), "a picture started a program"
    assert set(Path(f"/proc/{child.pid}/cwd").iterdir()) == files
    for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            assert int(line.split()[1]) / 1024 < MOST_MEMORY_MB


def test_the_same_pictures_are_refused_in_a_json_body(
    service: Service, pictures: dict[str, tuple[bytes, int]]
) -> None:
    for name, (content, wanted) in pictures.items():
        if len(content) > 500_000:
            continue
        body = {"image": base64.b64encode(content).decode(), "channels": IMAGE}
        answer = service.api.post("/v1/search", json=body, headers=headers_of(ALICE))
        assert answer.status_code == wanted, (name, answer.text)


def test_a_picture_that_takes_too_long_closes_the_model_to_nobody(service: Service) -> None:
    status, body = service.search(a_jpeg_of_comments(4_000_000))
    # Its processor time is up, or on a busy machine the patience of the one who waits.
    assert (status, body.get("code")) == (422, "invalid_query") or body["degraded"]
    status, body = service.search(png(), owner=BOB)
    assert (status, body["data"], body["degraded"]) == (GOOD, [], [])
