"""The settings of the HTTP service; they are part of scenebook.settings.Settings."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ApiSettings(BaseSettings):
    """What the api process needs beyond what every process needs."""

    # --- the HTTP service -----------------------------------------------------------------------
    api_host: str = Field("127.0.0.1", description="Address that the API listens on; `::` is all.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        8000, description="Port that the API listens on; Railway sets it."
    )
    public_url: str | None = Field(
        None, description="Where clients reach the API. Unset: as each request came."
    )
    scenebook_secret_key: SecretStr | None = Field(
        None,
        description="Signs URLs and page tokens; 32 characters or more, the same in every copy of "
        "the API. Unset: a file in SCENEBOOK_DATA_DIR, made when first needed.",
    )
    signed_url_ttl_s: Count = Field(3600, description="How long a keyframe or stream URL works.")
    page_token_ttl_s: Count = Field(3600, description="How long a page token works.")
    cors_origins: str | None = Field(
        None, description="Origins of browsers' pages that may call the API, with commas between."
    )
    trusted_proxies: Annotated[int, Field(ge=0, le=5)] = Field(
        0, description="Proxies in front of the API whose X-Forwarded-For is believed."
    )
    api_threads: Count = Field(
        16, description="Requests worked on at once; each holds at most one Postgres connection."
    )
    api_max_concurrency: Count = Field(
        64, description="Requests answered at once; more are told to come again (503)."
    )
    owner_max_requests: Count = Field(
        32, description="Requests of one owner answered at once, in each process."
    )
    owner_max_uploads: Count = Field(
        16, description="Files of one owner received at once, in each process."
    )
    owner_max_streams: Count = Field(
        32, description="Videos and event streams of one owner sent at once, in each process."
    )
    allowed_hosts: str | None = Field(
        None,
        description="Names that clients may call the API by, with commas between; *.example.com "
        "is any below it. Unset: any.",
    )
    api_docs: bool = Field(True, description="Whether /docs, /redoc and /openapi.json are shown.")
    api_page: bool = Field(True, description="Whether the page is served at /.")
    request_max_bytes: Count = Field(1_000_000, description="Largest JSON body, in bytes.")
    image_max_bytes: Count = Field(20_000_000, description="Largest picture of a query, in bytes.")
    transcript_max_bytes: Count = Field(
        10_000_000, description="Largest transcript file of an upload, in bytes."
    )

    # --- who may call it ------------------------------------------------------------------------
    auth_mode: Literal["token", "dev"] = Field(
        "token",
        description="token: JWTs and API keys. dev: also nobody, as SCENEBOOK_OWNER, and only from "
        "this machine.",
    )
    jwt_secret: SecretStr | None = Field(
        None, description="HS256 secret of the JWTs, as in a Supabase project's settings."
    )
    jwt_jwks_url: str | None = Field(
        None, description="Public keys of the JWTs: https://…/auth/v1/.well-known/jwks.json."
    )
    jwt_audience: str = Field("authenticated", description="`aud` that a JWT must have.")
    jwt_issuer: str | None = Field(None, description="`iss` that a JWT must have. Unset: any.")
    jwt_leeway_s: Annotated[int, Field(ge=0, le=300)] = Field(
        30, description="Clock skew that is tolerated in `exp`, `nbf` and `iat`."
    )
    operators: str | None = Field(
        None,
        description="Owners who may see the operations of all, with a key of scope admin or a JWT: "
        "their ids, with commas between. Unset: nobody.",
    )
    rate_limit_owner: str = Field(
        "1200/minute", description="Requests of one owner, as 20/second;1200/minute."
    )
    rate_limit_key: str = Field("600/minute", description="Requests of one API key or session.")
    owner_max_bytes: Count | None = Field(
        None, description="Most bytes of sources of an owner whose row says nothing. Unset: any."
    )
    owner_max_videos: Count | None = Field(
        None, description="Most videos of an owner whose row says nothing. Unset: any."
    )

    # --- uploads, imports and webhooks ----------------------------------------------------------
    upload_ttl_s: Count = Field(86_400, description="A resumable upload is kept this long.")
    idempotency_ttl_s: Count = Field(86_400, description="An Idempotency-Key is kept this long.")
    fetch_timeout_s: Seconds = Field(3600, description="Time bound for importing one URL.")
    fetch_allow_hosts: str | None = Field(
        None,
        description="Hosts that imports and webhooks may reach although their addresses are "
        "private, with commas between.",
    )
    webhook_timeout_s: Seconds = Field(15, description="Time bound for one webhook.")

    # --- search ---------------------------------------------------------------------------------
    query_cache_size: Annotated[int, Field(ge=0)] = Field(
        2000, description="Query vectors kept in each process; 0 keeps none, in Redis neither."
    )
    query_cache_ttl_s: Count = Field(86_400, description="A query vector stays in Redis this long.")
    rerank_model: str | None = Field(
        None, description="Cross-encoder that re-ranks, a name or directory. Unset: none."
    )
    rerank_candidates: Annotated[int, Field(ge=2, le=200)] = Field(
        50, description="Best hits that the cross-encoder reads."
    )
    rerank_timeout_s: Seconds = Field(1.0, description="Time bound for re-ranking one search.")
    search_log_days: Count = Field(30, description="The log of searches is kept so many days.")

    # --- the command line, where the service is elsewhere ----------------------------------------
    scenebook_url: str | None = Field(
        None,
        description="The service that the command line works with over HTTP. Unset: this machine's "
        "database and storage.",
    )
    scenebook_api_key: SecretStr | None = Field(
        None, description="API key or JWT for SCENEBOOK_URL; it says who the owner is."
    )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the API."""
        try:
            return ipaddress.ip_address(self.api_host).is_loopback
        except ValueError:
            return self.api_host == "localhost"
