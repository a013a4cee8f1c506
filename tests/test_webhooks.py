"""Webhooks: owners hear of their settled videos, signed, at least once, and of nobody else's."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from scenebook import settling, webhooks
from scenebook.errors import Conflict, InvalidInput, QuotaExceeded
from scenebook.model import Stage
from scenebook.settings import Settings
from scenebook.webhooks import Event
from tests import clips
from tests.pipelines import Pipeline
from tests.receivers import Receiver, a_receiver
from tests.stack import Stack, kill_family
from tests.webhooking import AT_ONCE, Deployment, a_deployment
from worker.deliveries import AT_ONCE_OF_ENDPOINT, Deliveries

ROOT = Path(__file__).resolve().parents[1]
LATER = (3600.0,) * 9


@pytest.fixture
def deployment(settings: Settings) -> Iterator[Deployment]:
    """Databases and a sender that tries again at once."""
    with a_deployment(settings) as made:
        yield made


@pytest.fixture
def patient(settings: Settings) -> Iterator[Deployment]:
    """Databases and a sender that tries again in an hour."""
    with a_deployment(settings, schedule_s=LATER) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with a_receiver() as made:
        yield made


# --- what is said, and when -----------------------------------------------------------------------


def test_a_settled_video_is_announced_with_a_signature_that_verifies(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    video = deployment.settle(owner_id=alice)
    (delivery,) = deployment.send_all(endpoint, owner_id=alice)
    assert (delivery.state, delivery.attempt, delivery.response_status) == ("delivered", 1, 200)
    (received,) = receiver.received
    assert received.id == str(delivery.id)
    assert received.headers["content-type"] == "application/json"
    content = received.content(endpoint.secret)
    assert content["type"] == "video.ready"
    assert content["data"] == {
        "video_id": str(video), "title": "A video", "status": "ready", "reason": None,
        "failed_stage": None, "generation": 1, "scene_count": 1, "duration_ms": None,
        "channels": {"transcript": {"ok": 1}},
    }  # fmt: skip
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secret).verify(received.body + b" ", received.headers)


def test_news_and_state_are_committed_together_or_not_at_all(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    video = deployment.video(owner_id=alice)
    with deployment.worker.transaction(owner_id=alice) as tx:
        settling.finish(tx, owner_id=alice, video_id=video, generation=1)
        tx.rollback()
    assert deployment.log(endpoint, owner_id=alice) == []
    deployment.settle(owner_id=alice, video_id=video)
    assert len(deployment.log(endpoint, owner_id=alice)) == 1


def test_a_state_that_stays_is_no_news_and_one_that_is_reached_again_is(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    video = deployment.settle(owner_id=alice)

    def channel(status: str, error: str | None = None) -> list[str]:
        with psycopg.connect(deployment.url) as connection:
            connection.execute(
                "update public.scene_channels set status = %s, error = %s", (status, error)
            )
        with deployment.worker.transaction(owner_id=alice) as tx:
            settling.settle_again(tx, owner_id=alice, video_id=video)
        return [one.event for one in reversed(deployment.log(endpoint, owner_id=alice))]

    assert channel("ok") == ["video.ready"]
    assert channel("error", "one") == ["video.ready", "video.partial"]
    assert channel("error", "another reason") == ["video.ready", "video.partial"]
    assert channel("ok") == ["video.ready", "video.partial", "video.ready"]
    deployment.settle(owner_id=alice, video_id=video)  # as after a re-indexing
    assert len(deployment.log(endpoint, owner_id=alice)) == 4


def test_a_video_that_fails_in_the_relays_sweep_is_announced_too(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    video = deployment.video(owner_id=alice)
    with deployment.relay.transaction(owner_id=alice) as tx:
        settling.fail(
            tx, owner_id=alice, video_id=video, generation=1, stage=Stage.PROBE, reason="No."
        )
    (delivery,) = deployment.log(endpoint, owner_id=alice)
    assert delivery.event == "video.failed"
    assert delivery.payload["data"]["failed_stage"] == "probe"
    assert delivery.payload["data"]["reason"] == "No."


def test_a_video_that_is_being_deleted_is_no_news(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    video = deployment.video(owner_id=alice)
    with psycopg.connect(deployment.url) as connection:
        connection.execute("update public.videos set status = 'deleting'")
    deployment.settle(owner_id=alice, video_id=video)
    assert deployment.log(endpoint, owner_id=alice) == []


def test_the_pipeline_announces_what_it_settles(
    pipeline: Pipeline, patient: Deployment, receiver: Receiver, alice: UUID, tmp_path: Path
) -> None:
    endpoint = patient.endpoint(receiver, owner_id=alice)
    film = clips.write(tmp_path / "film.mp4", clips.still(1, 25))
    video = pipeline.index(film, owner_id=alice)
    (delivery,) = patient.send_all(endpoint, owner_id=alice)
    assert delivery.event == f"video.{video.status}"
    data = receiver.received[0].content(endpoint.secret)["data"]
    assert (data["title"], data["scene_count"]) == ("film.mp4", 1)
    assert data["duration_ms"] == video.duration_ms
    assert data["channels"]["visual_clip"] == {"disabled": 1}


def test_nothing_but_settling_gives_a_video_a_state_that_is_news() -> None:
    code = [
        path
        for package in ("scenebook", "worker", "api")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bvideos\.(finish|fail)\(|videos/(finish|fail)\b", path.read_text("utf-8"))
    ]
    assert sorted(path.name for path in code) == ["settling.py", "videos.py"]
    statements = [
        path.name
        for path in (ROOT / "scenebook" / "db" / "sql").rglob("*.sql")
        if re.search(r"update public\.videos\b.*'(ready|partial|failed)'", path.read_text(), re.S)
    ]
    assert sorted(set(statements) - {"started.sql"}) == ["fail.sql"]


# --- who hears it ---------------------------------------------------------------------------------


def test_an_endpoint_hears_of_the_events_it_wants_and_of_no_other_owner(
    deployment: Deployment, receiver: Receiver, alice: UUID, bob: UUID
) -> None:
    with a_receiver() as bobs, a_receiver() as picky:
        of_alice = deployment.endpoint(receiver, owner_id=alice)
        of_bob = deployment.endpoint(bobs, owner_id=bob)
        of_failures = webhooks.add_endpoint(
            deployment.api,
            deployment.settings,
            owner_id=alice,
            url=picky.url,
            events=[Event.FAILED],
        )
        video = deployment.settle(owner_id=alice)
        deployment.send_all(of_alice, owner_id=alice)
        assert receiver.received[0].content(of_alice.secret)["data"]["video_id"] == str(video)
        assert (bobs.received, picky.received) == ([], [])
        assert deployment.log(of_bob, owner_id=bob) == []
        assert deployment.log(of_failures, owner_id=alice) == []
        deployment.settle(owner_id=bob)
        deployment.send_all(of_bob, owner_id=bob)
        assert len(bobs.received) == len(receiver.received) == 1


def test_only_the_new_secret_signs_when_the_rotation_is_over(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    old = deployment.endpoint(receiver, owner_id=alice)
    new = webhooks.rotate_secret(deployment.api, owner_id=alice, endpoint_id=old.id)
    assert new.secret != old.secret
    deployment.settle(owner_id=alice)
    deployment.send_all(new, owner_id=alice)
    assert receiver.received[0].content(old.secret) == receiver.received[0].content(new.secret)
    with psycopg.connect(deployment.url) as connection:
        connection.execute(
            "update public.webhook_endpoints set rotated_at = rotated_at - interval '25 hours'"
        )
    deployment.settle(owner_id=alice)
    deployment.send_all(new, owner_id=alice)
    assert receiver.received[1].content(new.secret)
    with pytest.raises(WebhookVerificationError):
        receiver.received[1].content(old.secret)


def test_an_owner_has_twenty_endpoints_at_most_however_many_ask_at_once(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    outcomes: list[bool] = []

    def ask() -> None:
        for _ in range(6):
            try:
                deployment.endpoint(receiver, owner_id=alice)
                outcomes.append(True)
            except QuotaExceeded:
                outcomes.append(False)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count(True), outcomes.count(False)) == (20, 4)


def test_an_endpoint_that_is_not_public_is_refused(deployment: Deployment, alice: UUID) -> None:
    for url in (
        "http://localhost/hooks", "http://10.0.0.1/hooks", "http://169.254.169.254/latest",
        "http://[::1]/hooks", "file:///etc/passwd", "https://user:word@93.184.215.14/",
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            webhooks.add_endpoint(deployment.api, deployment.settings, owner_id=alice, url=url)
        assert refused.value.code == "url_not_allowed", url


# --- how it arrives -------------------------------------------------------------------------------


def test_a_delivery_is_tried_again_under_the_same_id_until_it_is_taken(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    receiver.answers = [500, 429, 204]
    deployment.settle(owner_id=alice)
    (delivery,) = deployment.send_all(endpoint, owner_id=alice)
    assert (delivery.state, delivery.attempt, delivery.error) == ("delivered", 3, None)
    assert receiver.ids() == [str(delivery.id)] * 3
    for received in receiver.received:
        assert received.content(endpoint.secret)["type"] == "video.ready"


def test_what_waits_for_its_next_attempt_is_not_sent_before(
    patient: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = patient.endpoint(receiver, owner_id=alice)
    receiver.answers = [503]
    patient.settle(owner_id=alice)
    delivery = patient.tried(endpoint, owner_id=alice)
    assert (delivery.state, delivery.attempt, delivery.response_status) == ("pending", 1, 503)
    assert delivery.error == "The receiver answered with status 503."
    wait_s = (delivery.next_at - delivery.created_at).total_seconds()
    assert 3600 <= wait_s < 3600 * 1.2 + 60
    assert patient.sender.round() == 0
    which = {"owner_id": alice, "endpoint_id": endpoint.id, "delivery_id": delivery.id}
    webhooks.redeliver(patient.api, **which)
    (delivery,) = patient.send_all(endpoint, owner_id=alice)
    assert (delivery.state, receiver.ids()) == ("delivered", [str(delivery.id)] * 2)


def test_a_receiver_that_is_gone_is_not_asked_again(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    receiver.answers = [410]
    deployment.settle(owner_id=alice)
    (delivery,) = deployment.send_all(endpoint, owner_id=alice)
    assert (delivery.state, delivery.response_status) == ("failed", 410)
    found = webhooks.get_endpoint(deployment.api, owner_id=alice, endpoint_id=endpoint.id)
    assert found.disabled_reason == "The receiver answered 410 Gone."
    deployment.settle(owner_id=alice)
    assert len(deployment.log(endpoint, owner_id=alice)) == 1
    with pytest.raises(Conflict):
        webhooks.send_test(deployment.api, owner_id=alice, endpoint_id=endpoint.id)


def test_a_redirect_is_a_failure_and_is_not_followed(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    with a_receiver() as elsewhere:
        receiver.answers, receiver.headers = [301, 302, 307, 308], {"Location": elsewhere.url}
        deployment.settle(owner_id=alice)
        (delivery,) = deployment.send_all(endpoint, owner_id=alice)
        assert (delivery.state, delivery.attempt) == ("delivered", 5)
        assert elsewhere.received == []


def test_an_answer_is_its_status_however_long_or_compressed_its_body(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    receiver.body, receiver.headers = b"x" * 5_000_000, {"Content-Encoding": "gzip"}
    deployment.settle(owner_id=alice)
    (delivery,) = deployment.send_all(endpoint, owner_id=alice)
    assert (delivery.state, delivery.attempt) == ("delivered", 1)


def test_an_endpoint_that_became_private_is_not_reached(
    patient: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = patient.endpoint(receiver, owner_id=alice)
    settings = patient.settings.model_copy(update={"fetch_allow_hosts": None})
    patient.sender = Deliveries(settings, patient.relay, schedule_s=LATER)
    patient.settle(owner_id=alice)
    delivery = patient.tried(endpoint, owner_id=alice)
    assert delivery.error == "The URL's address is not public."
    assert receiver.received == []


def test_a_delivery_is_given_up_and_a_dead_endpoint_disabled_with_a_reason(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    receiver.answers = [500] * (len(AT_ONCE) + 1)
    deployment.settle(owner_id=alice)
    (delivery,) = deployment.send_all(endpoint, owner_id=alice)
    assert (delivery.state, delivery.attempt) == ("failed", 10)
    found = webhooks.get_endpoint(deployment.api, owner_id=alice, endpoint_id=endpoint.id)
    assert found.disabled_reason is not None
    assert "Nothing was delivered for days" in found.disabled_reason
    webhooks.change_endpoint(
        deployment.api, deployment.settings, owner_id=alice, endpoint_id=endpoint.id, enabled=True
    )
    webhooks.redeliver(
        deployment.api, owner_id=alice, endpoint_id=endpoint.id, delivery_id=delivery.id
    )
    (delivery,) = deployment.send_all(endpoint, owner_id=alice)
    assert delivery.state == "delivered"


def test_a_receiver_that_hangs_times_out_and_keeps_nobody_waiting(
    settings: Settings, receiver: Receiver, alice: UUID, bob: UUID
) -> None:
    # The receiver hangs until the others are served: if they waited for it, the test would too.
    slow = settings.model_copy(update={"webhook_timeout_s": 15.0})
    with a_deployment(slow, schedule_s=LATER) as deployment, a_receiver() as fine:
        receiver.hanging = True
        dead = deployment.endpoint(receiver, owner_id=alice)
        living = deployment.endpoint(fine, owner_id=alice)
        of_bob = deployment.endpoint(fine, owner_id=bob)
        for _ in range(8):
            deployment.settle(owner_id=alice)
        deployment.settle(owner_id=bob)
        deployment.send_until(
            lambda: len(receiver.received) == AT_ONCE_OF_ENDPOINT, "the dead one to be asked"
        )
        for endpoint, owner in ((living, alice), (of_bob, bob)):
            done = deployment.send_all(endpoint, owner_id=owner)
            assert {one.state for one in done} == {"delivered"}
        assert len(receiver.received) == AT_ONCE_OF_ENDPOINT
        assert {one.state for one in deployment.log(dead, owner_id=alice)} == {"pending"}
        receiver.go_on.set()
    quick = settings.model_copy(update={"webhook_timeout_s": 0.2})
    with a_deployment(quick, schedule_s=LATER) as deployment:
        receiver.go_on.clear()
        delivery = deployment.tried(dead, owner_id=alice)
        assert delivery.error == "The URL's host did not answer in time."


def test_two_copies_send_everything_once(
    deployment: Deployment, receiver: Receiver, alice: UUID
) -> None:
    endpoint = deployment.endpoint(receiver, owner_id=alice)
    for _ in range(12):
        deployment.settle(owner_id=alice)
    stop = threading.Event()
    other = Deliveries(deployment.settings, deployment.relay, schedule_s=AT_ONCE)
    thread = threading.Thread(target=other.run, args=(stop,))
    thread.start()
    log = deployment.send_all(endpoint, owner_id=alice)
    stop.set()
    thread.join()
    other.close()
    assert sorted(receiver.ids()) == sorted(str(one.id) for one in log)


def test_a_relay_that_dies_between_sending_and_marking_leaves_it_to_be_sent_again(
    stack: Stack, receiver: Receiver, alice: UUID
) -> None:
    receiver.hanging = True
    with a_deployment(stack.settings) as deployment:
        endpoint = deployment.endpoint(receiver, owner_id=alice)
        deployment.settle(owner_id=alice)
        relay = stack.start("-m", "worker.relay", fetch_allow_hosts="127.0.0.1")
        stack.wait(lambda: bool(receiver.received), "the first attempt")
        kill_family(relay)
        receiver.hanging = False
        with psycopg.connect(deployment.url) as connection:  # as when the lease is over
            connection.execute("update public.webhook_deliveries set next_at = now()")
        stack.start("-m", "worker.relay", fetch_allow_hosts="127.0.0.1")
        stack.wait(
            lambda: deployment.log(endpoint, owner_id=alice)[0].state == "delivered", "the second"
        )
        (delivery,) = deployment.log(endpoint, owner_id=alice)
        assert delivery.attempt == 2
        assert receiver.ids() == [str(delivery.id)] * 2
