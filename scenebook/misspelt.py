"""Tells a misspelt variable of ours from one that belongs to somebody else."""

from __future__ import annotations

import difflib
from collections.abc import Collection

# Variables with these prefixes belong to Scenebook, so a misspelt one can be told from a stranger.
OWN_PREFIXES = (
    "CLIP_",
    "DESCRIPTION_",
    "ENCODER_",
    "SCENEBOOK_",
    "SCENE_",
    "TEXT_EMBEDDING_",
    "TRANSCRIPTION_",
    "WHISPER_",
)
# Others use the remaining first words too (a build server's JOB_NAME): under those only what is
# nearly one of ours is an error. Likeness as difflib measures it, from 0 to 1.
NEARLY = 0.85


def looks_like_ours(key: str, names: Collection[str]) -> bool:
    """Whether a variable that is none of `names`, in capitals, was probably meant to be one."""
    if key.startswith(OWN_PREFIXES):
        return True
    # The first word must be alike too: PG_DATABASE_URL is somebody else's.
    first_words = {name.partition("_")[0] for name in names}
    return bool(
        difflib.get_close_matches(key.partition("_")[0], first_words, n=1, cutoff=NEARLY)
        and difflib.get_close_matches(key, names, n=1, cutoff=NEARLY)
    )


def unknown_setting(key: str, names: Collection[str]) -> str:
    """What to say of it, with the name that was probably meant."""
    near = difflib.get_close_matches(key.upper(), names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{key} is not a setting of Scenebook.{hint}"
