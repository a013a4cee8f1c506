"""The HTTP service for tests: in this process, or as one of its own with a URL."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
import jwt
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from scenebook.embedded.process import start_tethered, stop_process
from scenebook.settings import Settings
from tests.stack import environment, free_port

JWT_SECRET = "a secret that only tests use, of enough characters"
PATIENCE_S = 30


def token_of(owner_id: UUID, *, secret: str = JWT_SECRET, **claims: object) -> str:
    """A JWT as Supabase issues it to a signed-in user; a claim of None is left out."""
    now = int(time.time())
    content: dict[str, object] = {
        "sub": str(owner_id),
        "role": "authenticated",
        "aud": "authenticated",
        "iss": "https://project.supabase.co/auth/v1",
        "iat": now,
        "exp": now + 3600,
        "session_id": f"session-of-{owner_id}",
        "is_anonymous": False,
    }
    content = {name: value for name, value in (content | claims).items() if value is not None}
    return jwt.encode(content, secret, algorithm="HS256")


def headers_of(owner_id: UUID) -> dict[str, str]:
    """What an owner's request carries."""
    return {"Authorization": f"Bearer {token_of(owner_id)}"}


@contextmanager
def api_in_process(settings: Settings, *, peer: str = "127.0.0.1") -> Iterator[TestClient]:
    """A client of the application with these settings; `peer` is the address it calls from."""
    with TestClient(
        create_app(settings), base_url="http://localhost", client=(peer, 50000)
    ) as client:
        yield client


@contextmanager
def running_api(settings: Settings, **changes: object) -> Iterator[str]:
    """The base URL of a process `python -m api` with these settings, ended by its id."""
    port = free_port()
    # Through Settings, so that every value is one that the process would accept.
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    wanted = values | {"log_level": "WARNING"} | changes | {"port": port}
    changed = Settings(**{name: value for name, value in wanted.items() if value is not None})
    process = start_tethered([sys.executable, "-m", "api"], environment=environment(changed))
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_lives(url, process)
        yield url
    finally:
        stop_process(process, signals={signal.SIGTERM: 10.0, signal.SIGKILL: 5.0})


def wait_until_it_lives(url: str, process: subprocess.Popen[bytes]) -> None:
    """Poll until the API answers; fails if the process ends instead."""
    deadline = time.monotonic() + PATIENCE_S
    while not _lives(url):
        assert process.poll() is None, "the process ended instead of serving"
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for the api"
        time.sleep(0.05)


def _lives(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def with_tokens(settings: Settings) -> Settings:
    """The settings, able to check `token_of`'s tokens."""
    return settings.model_copy(update={"jwt_secret": SecretStr(JWT_SECRET)})
