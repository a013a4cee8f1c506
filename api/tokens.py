"""Checks JWTs as Supabase issues them: by a shared secret, or by the issuer's public keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import httpx
import jwt
import structlog

from scenebook.errors import ConfigurationError, Forbidden, Unauthorized, Unavailable
from scenebook.settings import Settings

log = structlog.get_logger(__name__)

SHARED = "HS256"
PUBLIC = ("ES256", "RS256", "EdDSA")
SHORTEST_SECRET = 32
LONGEST_TOKEN = 8192
JWKS_TIMEOUT_S = 3.0
# Forged key ids must not make us ask the issuer again and again.
REFETCH_S = 10.0
# A key that was withdrawn is forgotten after this.
KEEP_S = 600.0

Claims = dict[str, Any]


class AnonymousToken(Unauthorized):
    """The key of everybody who is not signed in, as Supabase's clients send it."""

    code = "not_signed_in"


class Tokens:
    """Reads tokens by the settings. Threads may share one."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        if secret is not None:
            _check_secret(secret)
        self._secret = secret
        self._keys = PublicKeys(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._leeway_s = settings.jwt_leeway_s

    def claims(self, token: str) -> Claims:
        """The claims of a signed-in user's token; `sub` is the owner.

        Raises AnonymousToken for an anon key, Forbidden for a service key, Unauthorized for
        anything that is forged, expired or of another service, and Unavailable while the public
        keys could never be fetched.
        """
        claims = self._verified(token)
        role = claims.get("role")
        if role == "anon":
            raise AnonymousToken(
                "This is the anon key: nobody is signed in. Sign in, and send the session's "
                "access token as `Authorization: Bearer …`."
            )
        if role == "service_role":
            raise Forbidden(
                "A service_role key stands for nobody, and this service works for one owner at a "
                "time. Send a user's access token, or an API key of the owner.",
                code="service_role",
            )
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _refused("its `aud` is not the one that is expected here (JWT_AUDIENCE)")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise _refused("its `iss` is not the one that is expected here (JWT_ISSUER)")
        if role != "authenticated":
            raise _refused("its `role` is not `authenticated`")
        if not _is_uuid(claims.get("sub")):
            raise _refused("its `sub` is no UUID")
        return claims

    def _verified(self, token: str) -> Claims:
        if self._secret is None and self._keys is None:
            raise Unauthorized(
                "This service reads no JWTs: neither JWT_SECRET nor JWT_JWKS_URL is set."
            )
        if len(token) > LONGEST_TOKEN:
            raise _refused(f"it has more than {LONGEST_TOKEN} characters")
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self._key(header)
            claims = jwt.decode(
                token,
                key,
                # One algorithm, fixed by which key we hold: a public key never checks an HMAC.
                algorithms=[algorithm],
                leeway=self._leeway_s,
                # Anon keys have no audience, and deserve their own message.
                options={"require": ["exp"], "verify_aud": False, "verify_sub": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized(
                "The token has expired. Refresh the session.", code="token_expired"
            ) from None
        except jwt.PyJWTError as error:
            raise _refused(_reason(error)) from None
        except (ValueError, TypeError, OverflowError):  # numbers and types no issuer writes
            raise _refused("a claim has a value that cannot be read") from None
        return dict(claims)

    def _key(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        """The key of ours that fits, and the one algorithm it is for."""
        algorithm = header.get("alg")
        if algorithm == SHARED and self._secret is not None:
            return self._secret, SHARED
        if algorithm in PUBLIC and self._keys is not None:
            return self._keys.find(header.get("kid"), algorithm), algorithm
        raise _refused("its `alg` is not one that this service accepts")


class PublicKeys:
    """The issuer's public keys (JWKS), fetched when one is unknown and kept when it is away."""

    def __init__(
        self, url: str, *, fetch: Callable[[str], Any] | None = None, refetch_s: float = REFETCH_S
    ) -> None:
        self._url = url
        self._fetch = fetch or _fetch
        self._refetch_s = refetch_s
        self._lock = threading.Lock()
        self._keys: list[jwt.PyJWK] | None = None
        self._fetched_at = self._tried_at = float("-inf")

    def find(self, kid: object, algorithm: str) -> Any:
        """The public key of this id for this algorithm. Raises Unauthorized or Unavailable."""
        found = self._known(kid, algorithm)
        if found is None or self._stale():
            # An issuer that hangs must not hold up those whose key is known.
            self._refresh(wait=found is None)
            found = self._known(kid, algorithm)
        if self._keys is None:
            raise Unavailable("The public keys of the JWTs cannot be fetched now (JWT_JWKS_URL).")
        if found is None:
            raise _refused("no public key of its issuer has its `kid` and `alg`")
        return found

    def _known(self, kid: object, algorithm: str) -> Any | None:
        fitting = [key for key in self._keys or () if key.algorithm_name == algorithm]
        if kid is not None:
            fitting = [key for key in fitting if key.key_id == kid]
        # Without an id there must be no choice.
        return fitting[0].key if len(fitting) == 1 else None

    def _stale(self) -> bool:
        return time.monotonic() - self._fetched_at > KEEP_S

    def _refresh(self, *, wait: bool) -> None:
        if not self._lock.acquire(blocking=wait):
            return
        try:  # whoever waited here finds that it was just tried
            if time.monotonic() - self._tried_at < self._refetch_s:
                return
            self._tried_at = time.monotonic()
            self._keys = _parsed(self._fetch(self._url))
            self._fetched_at = time.monotonic()
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            # The last keys stay: an issuer that is away signs nobody out.
            log.warning("jwks_unreachable", error=type(error).__name__)
        finally:
            self._lock.release()


def _fetch(url: str) -> Any:
    with httpx.Client(timeout=JWKS_TIMEOUT_S, follow_redirects=False) as client:
        response = client.get(url)
        response.raise_for_status()
        return response.json()


def _parsed(content: Any) -> list[jwt.PyJWK]:
    """The keys we can use; kinds that we do not know are left out, and shared secrets always."""
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list):
        raise ValueError("no key set")
    keys = []
    for one in content["keys"]:
        if not isinstance(one, dict) or one.get("kty") == "oct" or one.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(one)
        except jwt.PyJWTError:
            continue
        if key.algorithm_name in PUBLIC:
            keys.append(key)
    return keys


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"The token is not valid: {why}.", code="invalid_token")


def _reason(error: jwt.PyJWTError) -> str:
    """Our words for the library's errors, which may quote the token."""
    if isinstance(error, jwt.MissingRequiredClaimError):
        return "it has no `exp`"
    if isinstance(error, jwt.ImmatureSignatureError):
        return "it is not valid yet; check the clocks"
    if isinstance(error, jwt.InvalidSignatureError):
        return "its signature is not this service's issuer's"
    return "it cannot be read"


def _is_uuid(text: object) -> bool:
    try:
        return isinstance(text, str) and str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _check_secret(secret: str) -> None:
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"JWT_SECRET is shorter than {SHORTEST_SECRET} bytes, which can be guessed. Copy it "
            "from the Supabase project's settings."
        )
    if "-----BEGIN" in secret:
        raise ConfigurationError(
            "JWT_SECRET holds a public key, which everybody may know. Set JWT_JWKS_URL instead."
        )
