"""One frozen Settings, read once from the environment and `.env`, complete or refused.

Every field is an environment variable of the same name in capitals. Empty and `null` values mean
"unset". A variable that starts like one of ours but is not one of ours is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scenebook.api_settings import ApiSettings, Count, Seconds
from scenebook.database_urls import is_postgres, on_this_machine
from scenebook.errors import ConfigurationError
from scenebook.misspelt import looks_like_ours, unknown_setting
from scenebook.model_settings import ModelSettings

REDIS_SCHEMES = ("redis", "rediss", "redis+socket")


class Settings(ModelSettings, ApiSettings):
    """Everything that can be configured, with its default, its meaning and its unit."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    # --- where things are ---------------------------------------------------------------------
    database_url: str | None = Field(
        None, description="Postgres with pgvector. Unset: an embedded server in SCENEBOOK_DATA_DIR."
    )
    migrations_database_url: str | None = Field(
        None, description="Connection for migrations only; DATABASE_URL when unset."
    )
    redis_url: str | None = Field(
        None, description="Celery's broker. Unset: an embedded server in SCENEBOOK_DATA_DIR."
    )
    storage_url: str | None = Field(
        None, description="s3://bucket/prefix or file:///path. Unset: SCENEBOOK_DATA_DIR/storage."
    )
    scenebook_data_dir: Path = Field(
        Path(".scenebook"), description="Data of the embedded servers and the local storage."
    )
    scenebook_owner: str = Field(
        "demo",
        description="Owner that the command line works for: a UUID, or a name to derive one.",
    )
    database_pool_size: Count = Field(
        4, description="Connections that a worker or relay keeps to Postgres."
    )

    # --- logs and metrics ---------------------------------------------------------------------
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console in a terminal, JSON elsewhere."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe level that is logged: DEBUG, INFO, WARNING or ERROR."
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65534,
        description="Port for /metrics of a worker or relay. Under `scenebook up` the worker has "
        "it and the relay the next one. Unset: none.",
    )

    # --- jobs ---------------------------------------------------------------------------------
    worker_concurrency: Count = Field(1, description="Jobs a worker runs at once.")
    job_lease_s: Seconds = Field(60, description="A job whose worker is silent this long is swept.")
    job_beat_s: Seconds = Field(12, description="Interval of the heartbeat; well below the lease.")
    job_stall_s: Seconds = Field(600, description="A job without progress this long is stopped.")
    job_deadline_s: Seconds = Field(3600, description="No single job runs longer than this.")
    job_max_attempts: Count = Field(5, description="Clean failures before a job is failed.")
    job_max_crashes: Count = Field(3, description="Expired leases before a job is crash_loop.")
    job_republish_s: Seconds = Field(
        30, description="An unclaimed job is published again after this."
    )
    job_backoff_s: Seconds = Field(2, description="Base of the exponential retry back-off.")
    watchdog_s: Seconds = Field(
        120,
        description="A worker that is rung for and claims nothing, or a relay whose round does not "
        "end, this long (or 4 JOB_REPUBLISH_S, if that is longer) ends with status 70.",
    )
    relay_interval_s: Seconds = Field(0.5, description="Pause between two rounds of the relay.")
    scenebook_failpoints: Path | None = Field(
        None,
        description="Tests only, with a database on this machine: a directory; a worker kills "
        "itself at each place that a file in it names.",
    )

    # --- media and scenes ---------------------------------------------------------------------
    media_max_bytes: Count = Field(20_000_000_000, description="Largest source, in bytes.")
    media_max_duration_s: Seconds = Field(6 * 3600, description="Longest video, in seconds.")
    media_max_pixels: Count = Field(40_000_000, description="Largest picture, width times height.")
    media_max_streams: Count = Field(32, description="Most streams in one file.")
    media_child_memory_mb: Count = Field(1500, description="Memory limit of the decoding child.")
    media_child_timeout_s: Seconds = Field(
        3000, description="Wall-clock limit of the decoding child."
    )
    scene_min_ms: Count = Field(400, description="Shorter scenes join a neighbour.")
    scene_max_ms: Count = Field(60_000, description="A longer take is split into equal parts.")
    scene_max_count: Count = Field(5000, description="Most scenes of one video.")
    scene_keyframes: Annotated[int, Field(ge=1, le=10)] = Field(
        3, description="Most keyframes stored for a scene."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values arrive through the constructor only; `load` gathers them."""
        return (init_settings,)

    @field_validator("database_url", "migrations_database_url")
    @classmethod
    def _database_is_postgres(cls, value: str | None) -> str | None:
        if value is not None and not is_postgres(value):
            raise ValueError(
                "must look like postgresql://user:password@host:5432/database. Write special "
                "characters of the password as %XX"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _broker_is_redis(cls, value: str | None) -> str | None:
        if value is not None and value.partition("://")[0] not in REDIS_SCHEMES:
            raise ValueError(
                "must look like redis://user:password@host:6379/0; rediss:// for TLS and "
                "redis+socket:///path for a socket are fine too"
            )
        return value

    @model_validator(mode="after")
    def _heartbeat_fits_the_lease(self) -> Settings:
        if self.job_beat_s * 2 > self.job_lease_s:
            raise ValueError("JOB_BEAT_S must be at most half of JOB_LEASE_S")
        if self.job_republish_s > self.job_lease_s:
            raise ValueError("JOB_REPUBLISH_S must be at most JOB_LEASE_S")
        return self

    @model_validator(mode="after")
    def _nothing_is_killed_in_production(self) -> Settings:
        if self.scenebook_failpoints is not None and not (
            self.database_url is None or on_this_machine(self.database_url)
        ):
            raise ValueError("SCENEBOOK_FAILPOINTS is for tests with a database on this machine")
        return self

    @model_validator(mode="after")
    def _nobody_is_served_from_this_machine_only(self) -> Settings:
        if self.auth_mode == "dev" and not self.on_loopback:
            raise ValueError("AUTH_MODE=dev needs an API_HOST of this machine, as 127.0.0.1")
        return self

    @model_validator(mode="after")
    def _loading_a_model_is_no_stall(self) -> Settings:
        for name in ("clip", "whisper", "text_embedding"):
            if getattr(self, f"{name}_load_timeout_s") >= self.job_stall_s:
                raise ValueError(f"{name.upper()}_LOAD_TIMEOUT_S must be less than JOB_STALL_S")
        return self

    @property
    def storage(self) -> str:
        """The storage URL in force."""
        return self.storage_url or (self.scenebook_data_dir.resolve() / "storage").as_uri()


def load(environ: Mapping[str, str], *, env_file: Path | None = None) -> Settings:
    """Settings from an environment and an optional `.env` file; the environment wins.

    Raises ConfigurationError naming every variable that is unknown or malformed.
    """
    names = {name.upper(): name for name in Settings.model_fields}
    in_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    unknown = [key for key in in_file if key.upper() not in names]
    unknown += [key for key in environ if key not in names and looks_like_ours(key, names)]
    if unknown:
        raise ConfigurationError(
            "\n".join(unknown_setting(key, names) for key in sorted(set(unknown)))
        )
    merged = {key.upper(): value for key, value in in_file.items()} | {
        key: value for key, value in environ.items() if key in names
    }
    values = {
        names[key]: value
        for key, value in merged.items()
        if value is not None and value.strip().lower() not in ("", "null")
    }
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(_malformed(detail) for detail in error.errors())
        ) from None


def _malformed(detail: Any) -> str:
    # The input is left out of the message on purpose: it may be a secret.
    name = ".".join(str(part) for part in detail["loc"]).upper() or "Settings"
    reason = detail["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{name}: {reason}."


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return load(os.environ, env_file=Path(".env"))
