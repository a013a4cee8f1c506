"""Signed, expiring texts: URLs and page tokens that only we can have made."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from scenebook.errors import ConfigurationError, Expired, InvalidInput
from scenebook.settings import Settings

SECRET_FILE = "secret-key"
SHORTEST_SECRET = 32


class Signer:
    """HMAC-SHA256 over a purpose, an expiry and a content; a token of one purpose fits no other."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def sign(self, purpose: str, content: Mapping[str, Any], *, ttl_s: int) -> str:
        """The content as a URL-safe token that works for `ttl_s` seconds."""
        body = json.dumps([int(self._clock()) + ttl_s, content], separators=(",", ":")).encode()
        return f"{_encode(body)}.{_encode(self._mac(purpose, body))}"

    def read(self, purpose: str, token: str) -> dict[str, Any]:
        """The content of a token. Raises InvalidInput (`invalid_token`), or Expired."""
        body_text, _, mac_text = token.partition(".")
        try:
            body, mac = _decode(body_text), _decode(mac_text)
        except (binascii.Error, ValueError):
            body, mac = b"", b""
        # One form only: base64 has several spellings of the same bytes.
        canonical = f"{_encode(body)}.{_encode(mac)}" == token
        if not canonical or not hmac.compare_digest(mac, self._mac(purpose, body)):
            raise InvalidInput(
                "This token was not made by this service, or was changed. Ask for a new one.",
                code="invalid_token",
            )
        expires_at, content = json.loads(body)
        if self._clock() > expires_at:
            raise Expired("This token has expired. Ask for a new one.")
        return dict(content)

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.new(self._secret, purpose.encode() + b"\n" + body, hashlib.sha256).digest()


def secret_of(settings: Settings) -> bytes:
    """The configured secret, or that of the data directory, made when it is first needed."""
    configured = settings.scenebook_secret_key
    if configured is not None:
        secret = configured.get_secret_value().encode()
        if len(secret) < SHORTEST_SECRET:
            raise ConfigurationError(
                f"SCENEBOOK_SECRET_KEY has {len(secret)} characters and needs {SHORTEST_SECRET}. "
                "`openssl rand -hex 32` makes one."
            )
        return secret
    path = settings.scenebook_data_dir / SECRET_FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"{path} holds no secret. Remove it, and a new one is made; or set "
            "SCENEBOOK_SECRET_KEY."
        )
    return secret


def _make_secret(path: Path) -> None:
    """A file with a new secret, whole when it appears: half of one, or none, could be guessed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was first: its secret is everybody's
            os.link(name, path)
    finally:
        os.unlink(name)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
