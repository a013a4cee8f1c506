"""Somebody who issues JWTs with keys that are published over HTTP, as Supabase does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS: dict[str, Any] = {
    "ES256": jwt.algorithms.ECAlgorithm,
    "RS256": jwt.algorithms.RSAAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """A key that is made once a process."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(algorithm: str, kid: str, number: int = 0) -> dict[str, Any]:
    """The published half."""
    public = private_key(algorithm, number).public_key()
    jwk: dict[str, Any] = json.loads(ALGORITHMS[algorithm].to_jwk(public))
    return jwk | {"kid": kid, "alg": algorithm, "use": "sig"}


def claims_of(owner_id: UUID, **changes: object) -> dict[str, object]:
    """What a signed-in user's token says; a claim of None is left out."""
    now = int(time.time())
    claims = {
        "sub": str(owner_id),
        "role": "authenticated",
        "aud": "authenticated",
        "iss": "https://project.supabase.co/auth/v1",
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


class Issuer:
    """Publishes what is in `keys`; `asked` counts how often somebody came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.away = False

    def token(
        self, owner_id: UUID, *, algorithm: str, kid: str | None, number: int = 0, **changes: object
    ) -> str:
        """A token signed with the private half of a key."""
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(
            claims_of(owner_id, **changes),
            private_key(algorithm, number),
            algorithm=algorithm,
            headers=headers,
        )


@contextmanager
def an_issuer() -> Iterator[Issuer]:
    """An issuer on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            content = json.dumps({"keys": issuer.keys}).encode()
            self.send_response(503 if issuer.away else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}/jwks.json")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
