"""What Supabase's own clients call in tests: every public function, on two owners' libraries."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg

from tests.pipelines import settings_for
from tests.postgres import Server
from tests.rows import EAST, NORTH, a_scene, a_space, a_video, an_embedding, an_owner, between
from tests.serving import JWT_SECRET, running_api, token_of, with_tokens

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = ("visual_clip", "transcript", "visual", "summary")
# As a Supabase project's: a JWT of nobody.
ANON_KEY = jwt.encode(
    {"role": "anon", "iss": "supabase", "exp": int(time.time()) + 3600}, JWT_SECRET, "HS256"
)
# Nearest to north first, in every channel.
DIRECTIONS = (NORTH, between(NORTH, EAST, weight=0.3), between(NORTH, EAST, weight=0.6))


@dataclass(frozen=True, slots=True)
class Library:
    """One owner's video; its scenes are in the order of their nearness to north."""

    owner: UUID
    video: UUID
    scenes: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A running API with two owners' libraries that are alike."""

    url: str
    database_url: str
    alice: Library
    bob: Library


def _by_vector(library: Library) -> dict[str, Any]:
    return {
        "query_embedding": list(NORTH),
        "match_threshold": -1,
        "match_count": 10,
        "filter_user_id": str(library.owner),
    }


# Arguments with which each function finds something in a library, most of it best first.
CALLS: dict[str, Callable[[Library], dict[str, Any]]] = {
    **{f"search_scenes_by_{channel}_embedding": _by_vector for channel in CHANNELS},
    "find_similar_scenes": lambda library: {
        "to_scene_id": str(library.scenes[0]),
        "match_threshold": -1,
        "filter_user_id": str(library.owner),
    },
    "search_scenes_by_text": lambda library: {
        "query_text": "morning",
        "filter_user_id": str(library.owner),
    },
    "highlight_scenes": lambda library: {
        "scene_ids": [str(scene) for scene in library.scenes],
        "query_text": "morning",
        "filter_user_id": str(library.owner),
    },
    "search_scenes_hybrid": lambda library: {
        "query_text": "morning",
        "query_visual_clip_embedding": list(NORTH),
        "weights": {"lexical": 0.5, "visual_clip": 0.5},
        "filter_user_id": str(library.owner),
    },
    "batch_score_scenes_clip": lambda library: {
        "query_embedding": list(NORTH),
        "scene_ids": [str(scene) for scene in library.scenes],
        "filter_user_id": str(library.owner),
    },
}


def public_functions(database_url: str) -> set[str]:
    """Every function in public that owners may call and that no extension brought."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select p.proname from pg_proc as p"
            " where p.pronamespace = 'public'::regnamespace"
            " and has_function_privilege('authenticated', p.oid, 'execute')"
            " and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')"
        )
        return {name for (name,) in rows}


def a_searchable_library(connection: psycopg.Connection, spaces: dict[str, int]) -> Library:
    """A new owner with scenes that have a vector in every channel; the first is of the morning."""
    owner = an_owner(connection, uuid4())
    video = a_video(connection, owner=owner)
    scenes = []
    for index, direction in enumerate(DIRECTIONS):
        said = "Good night, London." if index else "Good morning, Paris."
        scene = a_scene(connection, owner=owner, video=video, index=index, transcript=said)
        for space in spaces.values():
            an_embedding(connection, direction, scene=scene, space=space, at_ms=index * 1000)
        scenes.append(scene)
    return Library(owner, video, tuple(scenes))


@contextmanager
def a_service(server: Server, data_dir: Path) -> Iterator[Service]:
    """The API as a process of its own, on a new database."""
    with server.database() as database_url:
        with psycopg.connect(database_url) as connection:
            spaces = {channel: a_space(connection, channel=channel) for channel in CHANNELS}
            alice, bob = (a_searchable_library(connection, spaces) for _ in range(2))
        settings = settings_for(database_url, data_dir, clip_model_name="fake")
        with running_api(with_tokens(settings)) as url:
            yield Service(url, database_url, alice, bob)


def snippet(language: str, service: Service) -> tuple[str, dict[str, str], list[float]]:
    """The page's code in a language, what it reads from the environment, and its vector."""
    page = (ROOT / "docs" / "supabase.md").read_text("utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    environment = {
        "SUPABASE_URL": service.url,
        "SUPABASE_ANON_KEY": ANON_KEY,
        "ACCESS_TOKEN": token_of(service.alice.owner),
        "OWNER_ID": str(service.alice.owner),
    }
    return "\n".join(blocks), environment, list(NORTH)
