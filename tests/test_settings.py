"""Settings are complete or refused, and a refusal names the variable and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from scenebook.environment import child_environment
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings, load


def refused(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        load(environ)
    return str(error.value)


def test_the_defaults_of_clip_are_those_of_the_reference() -> None:
    settings = load({})
    assert settings.clip_enabled is False
    assert settings.clip_model_name == "ViT-B-32"
    assert settings.clip_pretrained == "openai"
    assert settings.clip_device == "cpu"
    assert settings.clip_normalize is True
    assert settings.clip_timeout_s == 2.0
    assert settings.clip_max_image_size == 224
    assert settings.clip_cpu_threads is None
    assert settings.clip_cache_dir == Path("/tmp/clip_cache")
    assert settings.clip_debug_log is False


def test_a_misspelt_variable_is_named_with_the_one_that_was_meant() -> None:
    message = refused(CLIP_ENABLD="true")
    assert "CLIP_ENABLD is not a setting" in message
    assert "Did you mean CLIP_ENABLED?" in message


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URLS",
        "JOB_LEASE_SECONDS",
        "METRIC_PORT",
        "OPENAI_APIKEY",
        "REDIS_UR",
        "WORKER_CONCURENCY",
    ],
)
def test_what_is_nearly_ours_is_refused_even_under_a_common_prefix(name: str) -> None:
    if name == "JOB_LEASE_SECONDS":
        assert load({name: "1"})  # too far from JOB_LEASE_S to be told from a stranger
    else:
        assert name in refused(**{name: "x"})


@pytest.mark.parametrize(
    "name", ["JOB_NAME", "MEDIA_ROOT", "OPENAI_ORG_ID", "PG_DATABASE_URL", "HOME"]
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert load({name: "x"}) == load({})


@pytest.mark.parametrize("value", ["", "  ", "null", "NULL"])
def test_empty_and_null_mean_unset(value: str) -> None:
    settings = load({"CLIP_CPU_THREADS": value, "CLIP_MODEL_NAME": value, "DATABASE_URL": value})
    assert settings.clip_cpu_threads is None
    assert settings.clip_model_name == "ViT-B-32"
    assert settings.database_url is None


def test_vectors_are_always_normalised() -> None:
    message = refused(CLIP_NORMALIZE="false")
    assert "CLIP_NORMALIZE" in message
    assert "zero vector would match every query" in message


def test_every_malformed_variable_is_named_and_its_value_is_not_shown() -> None:
    message = refused(CLIP_TIMEOUT_S="soon-s3cret", CLIP_DEVICE="tpu", SCENE_KEYFRAMES="0")
    assert "CLIP_TIMEOUT_S" in message
    assert "CLIP_DEVICE" in message
    assert "SCENE_KEYFRAMES" in message
    assert "s3cret" not in message


def test_a_heartbeat_slower_than_half_the_lease_is_refused() -> None:
    assert "JOB_BEAT_S" in refused(JOB_BEAT_S="40", JOB_LEASE_S="60")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CLIP_ENABLED=true\nCLIP_TIMEOUT_S=5\n")
    settings = load({"CLIP_TIMEOUT_S": "7"}, env_file=file)
    assert settings.clip_enabled is True
    assert settings.clip_timeout_s == 7


def test_any_unknown_name_in_the_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SOMETHING=else\n")
    with pytest.raises(ConfigurationError, match="SOMETHING is not a setting"):
        load({}, env_file=file)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load({}).clip_enabled = True  # type: ignore[misc]


def test_a_key_is_not_shown() -> None:
    settings = load({"OPENAI_API_KEY": "sk-s3cret"})
    assert "s3cret" not in repr(settings)


def test_children_get_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-s3cret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@h/d")
    assert "s3cret" not in str(child_environment())


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_loading_a_model_must_not_look_like_a_stall() -> None:
    assert "WHISPER_LOAD_TIMEOUT_S must be less than JOB_STALL_S" in refused(
        WHISPER_LOAD_TIMEOUT_S="600"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@h/d",
        "postgresql://u:p%40@h:5432/d?sslmode=require",
        "postgresql+psycopg://u@/d?host=/run/pg",
    ],
)
def test_every_flavour_of_a_postgres_url_is_accepted(url: str) -> None:
    assert load({"DATABASE_URL": url, "MIGRATIONS_DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize("name", ["DATABASE_URL", "MIGRATIONS_DATABASE_URL"])
@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/d", "s3cret", "postgres://u:s3cret@h:port/d"])
def test_another_kind_of_database_is_refused_without_showing_its_url(name: str, url: str) -> None:
    message = refused(**{name: url})
    assert message.startswith(f"{name}: must look like postgresql://")
    assert "s3cret" not in message
    assert not message.endswith("..")


def test_a_broker_is_redis() -> None:
    for url in ("redis://h:6379/0", "rediss://:p@h/1", "redis+socket:///run/redis.sock"):
        assert load({"REDIS_URL": url}).redis_url == url
    message = refused(REDIS_URL="amqp://u:s3cret@h")
    assert message.startswith("REDIS_URL: must look like redis://")
    assert "s3cret" not in message


def test_the_relay_has_room_for_its_port_beside_that_of_the_worker() -> None:
    assert "METRICS_PORT" in refused(METRICS_PORT="65535")
