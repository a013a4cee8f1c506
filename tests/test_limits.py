"""Rate limits: how many requests an owner, a key and a stranger may send."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import redis
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.testclient import TestClient

from api.app import create_app
from api.limits import STRANGERS, Limiter
from api.peers import address_of
from scenebook.errors import ConfigurationError, RateLimited
from scenebook.settings import Settings
from scenebook.short_redis import ShortRedis
from tests.serving import api_in_process, headers_of, token_of

HERE = "/v1/keys"


@pytest.fixture
def everywhere(redis_url: str) -> Iterator[ShortRedis]:
    """A Redis that knows nothing yet."""
    redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")).flushall()
    made = ShortRedis(redis_url)
    yield made
    made.close()


@pytest.fixture
def nowhere() -> Iterator[tuple[ShortRedis, socket.socket]]:
    """A Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        made = ShortRedis(f"redis://127.0.0.1:{deaf.getsockname()[1]}")
        yield made, deaf
        made.close()


def admitted(limiter: Limiter, owner_id: UUID, key: str, times: int) -> int:
    """How many of so many requests were admitted."""
    count = 0
    for _ in range(times):
        try:
            limiter.admit(owner_id=owner_id, key=key)
        except RateLimited:
            continue
        count += 1
    return count


LOW = Settings(rate_limit_owner="8/day", rate_limit_key="5/day")


def test_a_key_has_its_limit_and_so_has_its_owner(everywhere: ShortRedis) -> None:
    limiter = Limiter(LOW, everywhere)
    alice, bob = uuid4(), uuid4()
    assert admitted(limiter, alice, "one", 7) == 5
    assert admitted(limiter, alice, "two", 7) == 3
    # Another owner's count is another's, also for a key of the same name.
    assert admitted(limiter, bob, "one", 7) == 5


def test_all_processes_count_together(everywhere: ShortRedis) -> None:
    owner = uuid4()
    assert admitted(Limiter(LOW, everywhere), owner, "key", 3) == 3
    assert admitted(Limiter(LOW, everywhere), owner, "key", 9) == 2


def test_while_redis_is_away_each_process_counts_for_itself(
    nowhere: tuple[ShortRedis, socket.socket],
) -> None:
    away, deaf = nowhere
    owner = uuid4()
    limiter = Limiter(LOW, away)
    before = REGISTRY.get_sample_value("scenebook_redis_fallbacks_total", {"use": "limits"}) or 0
    assert admitted(limiter, owner, "key", 9) == 5  # neither open nor closed
    after = REGISTRY.get_sample_value("scenebook_redis_fallbacks_total", {"use": "limits"})
    assert after == before + 9
    # It was asked once, and then left alone.
    deaf.accept()[0].close()
    deaf.setblocking(False)
    with pytest.raises(BlockingIOError):
        deaf.accept()
    assert away.get("x") is None
    away.set("x", b"y", 5)


def test_redis_is_asked_again_after_a_rest(redis_url: str) -> None:
    asleep = ShortRedis(redis_url, rest_s=0)
    asleep.set("key", b"value", 5)
    assert asleep.ask("test", lambda _: _break(), None) is None
    assert asleep.get("key") == b"value"
    asleep.close()
    assert ShortRedis(None).get("key") is None


def _break() -> None:
    raise redis.ConnectionError


@pytest.mark.parametrize(
    "text", ["", "many", "10", "10/fortnight", "0/minute", "-1/minute", "10/minute;x", "1e9/day"]
)
def test_a_limit_that_is_none_is_refused_at_the_start(settings: Settings, text: str) -> None:
    for name in ("rate_limit_owner", "rate_limit_key"):
        with pytest.raises(ConfigurationError, match=name.upper()):
            create_app(settings.model_copy(update={name: text}))


def test_several_limits_hold_at_once() -> None:
    limiter = Limiter(
        Settings(rate_limit_owner="100/day", rate_limit_key="4/second;6/day"), ShortRedis(None)
    )
    owner = uuid4()
    assert admitted(limiter, owner, "key", 4) == 4
    assert admitted(limiter, owner, "key", 200) <= 2
    assert limiter.admit(owner_id=owner, key="other").limit == 6  # the tightest is told


def test_over_http_a_limit_is_announced_and_then_a_429(
    settings: Settings, alice: UUID, bob: UUID
) -> None:
    low = settings.model_copy(update={"rate_limit_key": "3/day"})
    with api_in_process(low) as api:
        left = []
        for _ in range(3):
            answer = api.get(HERE, headers=headers_of(alice))
            assert answer.status_code == 200
            assert answer.headers["ratelimit-limit"] == "3"
            left.append(answer.headers["ratelimit-remaining"])
        assert left == ["2", "1", "0"]
        refused = api.get(HERE, headers=headers_of(alice))
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert api.get(HERE, headers=headers_of(bob)).status_code == 200
        another = {"Authorization": f"Bearer {token_of(alice, session_id='another')}"}
        assert api.get(HERE, headers=another).status_code == 200


def test_a_stranger_who_tries_again_and_again_is_a_429_and_users_are_not(
    settings: Settings, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many, but of a day: a minute may end between any two of the requests below.
    monkeypatch.setattr("api.limits.STRANGERS", STRANGERS.replace("minute", "day"))
    with api_in_process(settings, peer="192.0.2.1") as api:
        statuses = [api.get(HERE).status_code for _ in range(62)]
        assert statuses == [401] * 60 + [429] * 2
        # A header that anybody can write makes nobody another one.
        spoofed = api.get(HERE, headers={"X-Forwarded-For": "198.51.100.7"})
        assert spoofed.status_code == 429
        assert api.get(HERE, headers=headers_of(alice)).status_code == 200
        other = TestClient(api.app, base_url="http://localhost", client=("192.0.2.2", 1))
        assert other.get(HERE).status_code == 401


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "address"),
    [
        (0, ["1.1.1.1"], "10.0.0.1", "10.0.0.1"),
        (1, ["1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        (1, ["6.6.6.6, 1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        (1, ["6.6.6.6", "1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        (2, ["6.6.6.6, 1.1.1.1, 2.2.2.2"], "10.0.0.1", "1.1.1.1"),
        (2, ["1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        (1, [], "10.0.0.1", "10.0.0.1"),
        (1, ["garbage"], "10.0.0.1", "unknown"),
        (0, [], "::ffff:10.0.0.1", "10.0.0.1"),
        (0, [], "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
    ],
)
def test_only_the_last_hops_of_a_forwarded_address_are_believed(
    proxies: int, forwarded: list[str], peer: str, address: str
) -> None:
    request = Request(
        {
            "type": "http",
            "client": (peer, 1),
            "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
        }
    )
    assert address_of(request, Settings(trusted_proxies=proxies)) == address
