"""The settings of the models: CLIP, the inference child, speech, remote models, text embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from scenebook.api_settings import Count, Seconds


class ModelSettings(BaseSettings):
    """The part of `Settings` that the models read; never used alone."""

    # --- CLIP -----------------------------------------------------------------------------------
    clip_enabled: bool = Field(False, description="Embed each scene's keyframes with CLIP.")
    clip_model_name: str = Field(
        "ViT-B-32",
        description="open_clip architecture; `figures` is the small model that is shipped.",
    )
    clip_pretrained: str = Field(
        "openai",
        description="open_clip weights tag, a checkpoint file, or a directory with "
        "open_clip_config.json and weights.",
    )
    clip_device: Literal["cpu", "cuda"] = Field(
        "cpu", description="cuda falls back to cpu, with a warning, where there is none."
    )
    clip_normalize: bool = Field(True, description="Always on: stored vectors have norm 1.")
    clip_timeout_s: Seconds = Field(2.0, description="Time bound for one scene.")
    clip_load_timeout_s: Seconds = Field(180.0, description="Time bound for loading the model.")
    clip_max_image_size: Annotated[int, Field(ge=32)] = Field(
        224,
        description="Pictures are reduced until their SHORT side is this, never below the model's.",
    )
    clip_fit: Literal["crop", "letterbox"] = Field(
        "crop", description="Wide pictures lose their sides, or keep them between bars."
    )
    clip_frames: Literal["best", "all", "mean"] = Field(
        "best", description="Embed a scene's best frame, each keyframe, or the keyframes' mean."
    )
    clip_cpu_threads: Count | None = Field(
        None, description="Threads of the encoder. Unset: cores divided by WORKER_CONCURRENCY."
    )
    clip_cache_dir: Path = Field(
        Path("/tmp/clip_cache"), description="Cache of downloaded weights."
    )
    clip_debug_log: bool = Field(False, description="Log every picture that CLIP embeds.")
    clip_batch_size: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="Most pictures in one call of the model."
    )
    clip_breaker_failures: Count = Field(
        3, description="Consecutive timeouts or crashes that open the circuit breaker."
    )
    clip_breaker_reset_s: Seconds = Field(
        60.0, description="An open breaker tries again after this."
    )

    # --- the inference child: CLIP, text and speech models ---------------------------------------
    encoder_runtime: Literal["auto", "onnx", "torch"] = Field(
        "auto", description="auto: ONNX Runtime for a model whose export was accepted, else torch."
    )
    encoder_exports_dir: Path | None = Field(
        None,
        description="Where exported models are kept. Unset: beside the installed packages.",
    )
    encoder_child_memory_mb: Count = Field(4000, description="Memory limit of the inference child.")

    # --- speech -------------------------------------------------------------------------------
    transcription_provider: Literal["auto", "local", "openai", "off"] = Field(
        "auto",
        description="auto: local faster-whisper if it can load, else the API if it has a key.",
    )
    whisper_model: str = Field("base", description="faster-whisper model name or directory.")
    whisper_load_timeout_s: Seconds = Field(
        300, description="Time bound for loading, and downloading, the speech model."
    )
    whisper_language: str | None = Field(None, description="Spoken language; unset: detected.")
    transcription_model: str = Field("whisper-1", description="Model of the transcription API.")

    # --- remote models ------------------------------------------------------------------------
    openai_api_key: SecretStr | None = Field(None, description="Key of the OpenAI-compatible API.")
    openai_base_url: str | None = Field(None, description="Base URL of the OpenAI-compatible API.")
    openai_timeout_s: Seconds = Field(30, description="Time bound for one API call.")
    openai_max_retries: Annotated[int, Field(ge=0)] = Field(
        3, description="Times that a failed API call is repeated, with growing pauses."
    )
    description_model: str = Field("gpt-4o-mini", description="Vision model for descriptions.")
    description_max_calls: Annotated[int, Field(ge=0)] = Field(
        500, description="Most paid description calls for one video; 0 turns descriptions off."
    )
    description_max_calls_per_day: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Most paid description calls of one owner in 24 hours. Unset: no limit."
    )
    description_talky_ms: Annotated[int, Field(ge=0)] = Field(
        0, description="Shorter scenes in which somebody speaks are not described; 0: all are."
    )
    description_near_duplicate_bits: Annotated[int, Field(ge=-1, le=16)] = Field(
        3, description="Scenes whose pictures differ in so many of 64 bits share a call; -1: none."
    )

    # --- text embeddings ----------------------------------------------------------------------
    text_embedding_provider: Literal["local", "openai", "fake"] = Field(
        "local", description="fake: deterministic vectors of hashed words, for tests."
    )
    text_embedding_model: str = Field(
        "fast", description="fast, balanced, quality, or any model name or path."
    )
    text_embedding_load_timeout_s: Seconds = Field(
        300, description="Time bound for loading, and downloading, the text model."
    )
    text_embedding_timeout_s: Seconds = Field(120, description="Time bound for one batch.")

    @field_validator("clip_normalize")
    @classmethod
    def _normalisation_is_always_on(cls, value: bool) -> bool:
        if not value:
            raise ValueError(
                "cannot be false: cosine search needs vectors of norm 1, and a zero vector would "
                "match every query. Remove the variable."
            )
        return value
