"""Who is let in: session tokens, forged ones, and nobody in particular on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.tokens import AnonymousToken, PublicKeys, Tokens
from scenebook.errors import (
    ConfigurationError,
    Forbidden,
    ScenebookError,
    Unauthorized,
    Unavailable,
)
from scenebook.settings import Settings
from scenebook.videos import owner_from
from tests.issuer import Issuer, an_issuer, claims_of, private_key, public_jwk
from tests.serving import JWT_SECRET, api_in_process, headers_of, token_of

OWNER = UUID("a11ce000-0000-4000-8000-000000000001")
HERE = "/v1/keys"  # a route that needs every scope


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer with one key of each kind."""
    with an_issuer() as made:
        made.keys = [
            public_jwk("ES256", "ec"), public_jwk("RS256", "rsa"), public_jwk("EdDSA", "ed"),
        ]  # fmt: skip
        yield made


@pytest.fixture
def tokens(issuer: Issuer) -> Tokens:
    """A reader that knows a secret, and where the public keys are."""
    return Tokens(
        Settings(
            jwt_secret=SecretStr(JWT_SECRET),
            jwt_jwks_url=issuer.url,
            jwt_issuer="https://project.supabase.co/auth/v1",
        )
    )


def by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """A token with an HMAC over whatever it says, which no library would make."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, claims)
    ]
    signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def pem(algorithm: str) -> bytes:
    """A public key as everybody may have it."""
    public = private_key(algorithm).public_key()
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


HS = {"alg": "HS256", "typ": "JWT"}
NOW = int(time.time())
SECRET = JWT_SECRET.encode()

FORGED: dict[str, Callable[[Issuer], str]] = {
    "no algorithm": lambda _: jwt.encode(claims_of(OWNER), None, algorithm="none"),
    "no algorithm in capitals": lambda _: by_hand(HS | {"alg": "NONE"}, claims_of(OWNER), b""),
    "an HMAC with the public RSA key": lambda _: by_hand(
        HS | {"kid": "rsa"}, claims_of(OWNER), pem("RS256")
    ),
    "an HMAC with the public EC key": lambda _: by_hand(
        HS | {"kid": "ec"}, claims_of(OWNER), pem("ES256")
    ),
    "an HMAC that says RS256": lambda _: by_hand(
        {"alg": "RS256", "kid": "rsa"}, claims_of(OWNER), SECRET
    ),
    "another HMAC": lambda _: by_hand(HS | {"alg": "HS512"}, claims_of(OWNER), SECRET),
    "another secret": lambda _: token_of(OWNER, secret="x" * 40),
    "an empty secret": lambda _: by_hand(HS, claims_of(OWNER), b""),
    "a changed owner": lambda _: swapped(token_of(OWNER), sub=str(UUID(int=7))),
    "no signature": lambda _: token_of(OWNER).rsplit(".", 1)[0] + ".",
    "expired": lambda _: token_of(OWNER, exp=NOW - 3600),
    "no expiry": lambda _: token_of(OWNER, exp=None),
    "an expiry that is no number": lambda _: token_of(OWNER, exp="tomorrow"),
    "an expiry beyond numbers": lambda _: by_hand(HS, claims_of(OWNER, exp=float("inf")), SECRET),
    "not valid yet": lambda _: token_of(OWNER, nbf=NOW + 3600),
    "issued in the future": lambda _: token_of(OWNER, iat=NOW + 3600),
    "another audience": lambda _: token_of(OWNER, aud="somebody else"),
    "no audience": lambda _: token_of(OWNER, aud=None),
    "another issuer": lambda _: token_of(OWNER, iss="https://evil.example"),
    "no owner": lambda _: by_hand(HS, claims_of(OWNER, sub=None), SECRET),
    "an owner that is no UUID": lambda _: by_hand(HS, claims_of(OWNER, sub="admin"), SECRET),
    "an owner in another spelling": lambda _: token_of(OWNER, sub=f"urn:uuid:{OWNER}"),
    "an owner that is a list": lambda _: by_hand(HS, claims_of(OWNER, sub=[str(OWNER)]), SECRET),
    "another role": lambda _: token_of(OWNER, role="postgres"),
    "no role": lambda _: token_of(OWNER, role=None),
    "a refresh token": lambda _: token_of(OWNER, role=None, aud=None, type="refresh"),
    "a key that it brings itself": lambda issuer: jwt.encode(
        claims_of(OWNER), private_key("ES256", 9), algorithm="ES256",
        headers={"kid": "ec", "jwk": public_jwk("ES256", "ec", 9), "jku": issuer.url},
    ),
    "a key nobody published": lambda issuer: issuer.token(
        OWNER, algorithm="ES256", kid="../../ec", number=9
    ),
    "a key of another kind": lambda issuer: issuer.token(OWNER, algorithm="ES256", kid="rsa"),
    "claims that are a list": lambda _: by_hand(HS, [1, 2], SECRET),  # type: ignore[arg-type]
    "not a token": lambda _: "a.b.c",
    "nothing but dots": lambda _: "..",
    "far too long": lambda _: "e" * 20_000,
    "half of a surrogate pair": lambda _: "\ud800.a.b",
}  # fmt: skip


def swapped(token: str, **changes: object) -> str:
    """A token whose claims were changed after it was signed."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | changes
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return ".".join([head, body, signature])


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(tokens: Tokens, issuer: Issuer, name: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        tokens.claims(FORGED[name](issuer))
    assert JWT_SECRET not in str(refused.value)


def test_over_http_every_forged_token_is_a_401_that_says_why(
    settings: Settings, issuer: Issuer, alice: UUID
) -> None:
    changed = settings.model_copy(
        update={"jwt_jwks_url": issuer.url, "jwt_issuer": "https://project.supabase.co/auth/v1"}
    )
    with api_in_process(changed) as api:
        for name, forge in FORGED.items():
            token = forge(issuer)
            if not token.isascii() or len(token) > 10_000:
                continue
            answer = api.get(HERE, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, name
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] in ("invalid_token", "token_expired"), name
        assert api.get(HERE, headers=headers_of(alice)).status_code == 200


@pytest.mark.parametrize(("algorithm", "kid"), [("ES256", "ec"), ("RS256", "rsa"), ("EdDSA", "ed")])
def test_a_token_signed_with_a_published_key_is_read(
    tokens: Tokens, issuer: Issuer, algorithm: str, kid: str
) -> None:
    claims = tokens.claims(issuer.token(OWNER, algorithm=algorithm, kid=kid))
    assert claims["sub"] == str(OWNER)
    # One key of a kind needs no name.
    unnamed = tokens.claims(issuer.token(OWNER, algorithm=algorithm, kid=None))
    assert unnamed["sub"] == str(OWNER)


def test_clocks_may_differ_a_little(tokens: Tokens) -> None:
    now = int(time.time())
    assert tokens.claims(token_of(OWNER, exp=now - 10, nbf=now + 10))["sub"] == str(OWNER)


def test_a_new_key_is_fetched_when_it_is_first_seen(tokens: Tokens, issuer: Issuer) -> None:
    keys = PublicKeys(issuer.url, refetch_s=0)
    assert keys.find("ec", "ES256") is not None
    issuer.keys.append(public_jwk("ES256", "new", 1))
    assert keys.find("new", "ES256") is not None
    assert issuer.asked == 2


def test_made_up_key_ids_do_not_make_us_ask_the_issuer_again(
    tokens: Tokens, issuer: Issuer
) -> None:
    tokens.claims(issuer.token(OWNER, algorithm="ES256", kid="ec"))
    for number in range(20):
        with pytest.raises(Unauthorized):
            tokens.claims(issuer.token(OWNER, algorithm="ES256", kid=f"made up {number}"))
    assert issuer.asked == 1


def test_an_issuer_that_is_away_signs_nobody_out(issuer: Issuer) -> None:
    keys = PublicKeys(issuer.url, refetch_s=0)
    known = keys.find("ec", "ES256")
    issuer.away = True
    with pytest.raises(Unauthorized):
        keys.find("unknown", "ES256")
    assert keys.find("ec", "ES256") is known
    with pytest.raises(Unavailable):
        PublicKeys(issuer.url).find("ec", "ES256")


def test_an_issuer_that_hangs_holds_up_nobody_whose_key_is_known(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = Event(), Event()

    def fetch(_url: str) -> Any:
        if known is not None:
            asked.set()
            go_on.wait(10)
        return {"keys": issuer.keys}

    known = None
    keys = PublicKeys("made up", fetch=fetch, refetch_s=0)
    known = keys.find("ec", "ES256")
    monkeypatch.setattr("api.tokens.KEEP_S", -1)  # every key is old at once
    hanging = Thread(target=keys.find, args=("ec", "ES256"))
    hanging.start()
    assert asked.wait(10)
    assert keys.find("ec", "ES256") is known
    assert hanging.is_alive()
    go_on.set()
    hanging.join()


def test_a_shared_secret_among_the_public_keys_is_ignored(issuer: Issuer) -> None:
    guessable = base64.urlsafe_b64encode(b"k" * 32).rstrip(b"=").decode()
    issuer.keys = [{"kty": "oct", "kid": "oct", "alg": "HS256", "k": guessable}, {"kty": "?"}, "?"]  # type: ignore[list-item]
    reader = Tokens(Settings(jwt_jwks_url=issuer.url))
    with pytest.raises(Unauthorized):
        reader.claims(by_hand(HS | {"kid": "oct"}, claims_of(OWNER), b"k" * 32))


@pytest.mark.parametrize(
    ("secret", "word"),
    [("short", "shorter"), ("-----BEGIN PUBLIC KEY-----" + "x" * 40, "public key")],
)
def test_a_secret_that_is_none_is_refused_at_the_start(secret: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        Tokens(Settings(jwt_secret=SecretStr(secret)))


def test_project_keys_say_what_is_missing(tokens: Tokens) -> None:
    project = {"sub": None, "aud": None, "iss": "supabase", "ref": "project"}
    with pytest.raises(AnonymousToken, match="Sign in"):
        tokens.claims(token_of(OWNER, role="anon", **project))
    with pytest.raises(Forbidden, match="one owner"):
        tokens.claims(token_of(OWNER, role="service_role", **project))


def test_the_session_wins_over_the_anon_key_of_supabases_clients(
    api: TestClient, alice: UUID, bob: UUID
) -> None:
    anon = token_of(OWNER, role="anon", sub=None, aud=None)
    both = {"apikey": anon, **headers_of(alice)}
    assert api.get(HERE, headers=both).status_code == 200
    nobody = api.get(HERE, headers={"apikey": anon, "Authorization": f"Bearer {anon}"})
    assert (nobody.status_code, nobody.json()["code"]) == (401, "not_signed_in")
    service = api.get(HERE, headers={"apikey": token_of(OWNER, role="service_role")})
    assert (service.status_code, service.json()["code"]) == (403, "service_role")
    published = api.get(HERE, headers={"apikey": "sb_publishable_abc"})
    assert published.json()["code"] == "not_signed_in"


def test_without_a_readable_credential_nobody_is_signed_in(api: TestClient) -> None:
    unreadable: list[list[tuple[str, str]]] = [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Basic YWxpY2U6c2VjcmV0")],
        [("Authorization", f"Bearer {token_of(OWNER)}"), ("Authorization", "Bearer x")],
        [("x-api-key", "")],
        [("x-api-key", "sbk_short")],
    ]
    for headers in unreadable:
        answer = api.get(HERE, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_disabled_owner_is_refused_and_the_other_is_not(
    api: TestClient, database_url: str, alice: UUID, bob: UUID
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update owners set disabled_at = now() where id = %s", (alice,))
    refused = api.get(HERE, headers=headers_of(alice))
    assert (refused.status_code, refused.json()["code"]) == (403, "owner_disabled")
    assert api.get(HERE, headers=headers_of(bob)).status_code == 200


CALLS: list[tuple[str, dict[str, str], int]] = [
    ("127.0.0.1", {}, 200),
    ("::1", {"Host": "[::1]:8000"}, 200),
    ("::ffff:127.0.0.1", {"Host": "127.0.0.1:8000"}, 200),
    ("127.0.0.1", {"Origin": "http://localhost:3000"}, 200),
    ("192.168.1.7", {}, 401),
    ("127.0.0.1", {"Host": "rebound.example.com"}, 401),
    ("127.0.0.1", {"Host": "localhost.example.com"}, 401),
    ("127.0.0.1", {"Origin": "https://evil.example"}, 401),
    ("127.0.0.1", {"Origin": "null"}, 401),
    ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 401),
    ("127.0.0.1", {"Authorization": "Bearer wrong"}, 401),
]


def test_only_this_machine_needs_no_credentials_in_dev(settings: Settings, alice: UUID) -> None:
    dev = settings.model_copy(update={"auth_mode": "dev", "scenebook_owner": str(alice)})
    with api_in_process(dev) as api:
        for peer, headers, status in CALLS:
            caller = TestClient(api.app, base_url="http://localhost", client=(peer, 50000))
            assert caller.get(HERE, headers=headers).status_code == status, (peer, headers)


def test_in_dev_credentials_still_count(settings: Settings, alice: UUID, bob: UUID) -> None:
    dev = settings.model_copy(update={"auth_mode": "dev", "scenebook_owner": "somebody"})
    with api_in_process(dev) as api:
        made = api.post(HERE, json={"name": "of nobody"}).json()["key"]["id"]
        api.post(HERE, json={"name": "of bob"}, headers=headers_of(bob))
        assert [key["id"] for key in api.get(HERE).json()["keys"]] == [made]
        (of_bob,) = api.get(HERE, headers=headers_of(bob)).json()["keys"]
        assert of_bob["name"] == "of bob"
    assert owner_from("somebody") not in (alice, bob)


def test_dev_is_refused_where_others_can_reach_it(tmp_path: Path) -> None:
    with pytest.raises((ScenebookError, ValueError), match="AUTH_MODE=dev"):
        Settings(auth_mode="dev", api_host="::")
