"""How `scenebook up` starts the API: where, and who may call it."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import pytest

from scenebook.cli.up import address, open_to_this_machine, require_port
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings, load
from tests.commands import PATIENCE_S, Scenebook, assert_gone
from tests.serving import wait_until_it_lives


def test_a_database_of_our_own_is_open_to_this_machine_unless_told_otherwise() -> None:
    def mode(*, ours: bool = True, **environ: str) -> str:
        return open_to_this_machine(load(environ), ours=ours).auth_mode

    assert mode() == "dev"
    assert mode(AUTH_MODE="token") == "token"
    assert mode(ours=False) == "token"
    assert mode(API_HOST="0.0.0.0") == "token"
    assert mode(AUTH_MODE="dev", ours=False) == "dev"


def test_the_address_is_one_that_a_browser_can_open() -> None:
    assert address(Settings()) == "http://127.0.0.1:8000"
    assert address(Settings(api_host="::", port=80)) == "http://localhost:80"
    assert address(Settings(api_host="::1", port=81)) == "http://[::1]:81"


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}.*Set PORT"):
            require_port(Settings(port=port))
    require_port(Settings(port=port))


def test_up_serves_the_api_to_this_machine_and_ends_it(tmp_path: Path) -> None:
    commands = Scenebook(tmp_path / "data")
    up = commands.start("up")
    url = f"http://127.0.0.1:{commands.environ['PORT']}"
    try:
        children = commands.wait_until_up(up)
        wait_until_it_lives(url, up)
        made = httpx.post(f"{url}/v1/keys", json={"name": "a key", "scopes": ["admin"]})
        assert made.status_code == 201
        revoked = commands.json("keys", "revoke", made.json()["key"]["prefix"])
        assert (revoked["id"], revoked["status"]) == (made.json()["key"]["id"], "revoked")
        (key,) = httpx.get(f"{url}/v1/keys").json()["keys"]
        assert key["revoked_at"] is not None
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0
    assert_gone(children)
    log = (tmp_path / "up.log").read_text()
    assert f"Scenebook is up. In a browser: {url}/" in log
