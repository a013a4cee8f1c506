"""Worlds that an owner must not be able to tell apart: without and with what is not to be seen."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from scenebook.db.engine import psycopg_url
from tests.conftest import ALICE, BOB
from tests.matrix import DIMENSIONS, direction
from tests.rows import a_space, a_video, an_owner
from tests.tenants import relations

CAROL = UUID("0ca01000-0000-4000-8000-000000000003")  # comes before Alice, as Bob comes after her
CHANNELS = ("visual_clip", "transcript", "visual", "summary")
SPEECH = "ham, or a salt pickle, good morning"
# What differs between two worlds that are the same: what was made just now.
UUIDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
REFUSED = "23503"  # no such row to refer to


@dataclass(frozen=True, slots=True)
class Ids:
    """One of everything that somebody has; `other_scenes` are the rest of the video's."""

    owner_id: UUID
    video_id: UUID
    scene_id: UUID
    scene_ids: list[UUID]
    keyframe_id: UUID
    upload_id: UUID
    endpoint_id: UUID
    delivery_id: UUID
    key_id: UUID
    job_id: int
    generation: int
    waiting_id: UUID
    uploading_id: UUID


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement answered and what it changed, without what is new each time."""

    error: str | None
    rows: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether nothing was found and nothing done."""
        return not self.rows and not self.changes and self.error in (None, REFUSED)


@dataclass
class World:
    """A transaction that is never committed, in which statements are tried and undone."""

    tx: Connection
    before: Counter[str] = field(init=False)
    known: set[str] = field(init=False)
    now: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.look()

    @property
    def raw(self) -> psycopg.Connection:
        """The driver's connection."""
        connection = self.tx.connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        return connection

    def look(self) -> None:
        """Remember everything that there is."""
        self.now = self.tx.execute(text("select now()")).scalar_one()
        tables = relations(self.raw, "r")
        self._all = " union all ".join(
            f"select '{name} ' || ({_plain(name)})::text from {name} as one"
            for name in tables
            if name.startswith("public.")
        )
        self.before = self._everything()
        self.known = set(UUIDS.findall("".join(self.before)))

    def _everything(self) -> Counter[str]:
        return Counter(row for (row,) in self.raw.execute(self._all.encode()))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens here has not happened afterwards."""
        with self.tx.begin_nested() as nested:
            try:
                yield
            finally:
                if nested.is_active:
                    nested.rollback()

    def try_out(self, sql: str, values: Mapping[str, Any]) -> Outcome:
        """What the statement does, undone."""
        given = {name: values[name] for name in text(sql).compile().params}
        known = self.known | set(UUIDS.findall(str(list(values.values()))))
        writes = re.search(r"^\s*(?:insert|update|delete|with)\b", _bare(sql)) is not None
        with self.undone():
            if writes:
                self.raw.execute(RESTART)
            try:
                got = self.tx.execute(text(sql), given)
                rows = [tuple(row) for row in got] if got.returns_rows else [("rows", got.rowcount)]
            except DBAPIError as error:
                return Outcome(getattr(error.orig, "sqlstate", None) or str(error.orig))
            changes: list[str] = []
            if writes:
                after = self._everything()
                changes = [f"+{one}" for one in (after - self.before).elements()]
                changes += [f"-{one}" for one in (self.before - after).elements()]
        said = sorted(self._masked(json.dumps(row, default=str), known) for row in rows)
        if said == ['["rows", 0]']:
            said = []
        return Outcome(
            None, tuple(said), tuple(sorted(self._masked(one, known) for one in changes))
        )

    def _masked(self, said: str, known: set[str]) -> str:
        said = UUIDS.sub(lambda one: one[0] if one[0] in known else "<new>", said)
        return TIMES.sub(
            lambda one: "<now>" if datetime.fromisoformat(one[0]) >= self.now else one[0], said
        )


RESTART = (
    b"select setval(oid::regclass, 1000) from pg_class"
    b" where relkind = 'S' and relnamespace = 'public'::regnamespace"
)


def _plain(table: str) -> str:
    short = "|| jsonb_build_object('embedding', md5(one.embedding::text))"
    return f"to_jsonb(one) {short if table == 'public.scene_embeddings' else ''}"


def _bare(sql: str) -> str:
    return re.sub(r"--.*", "", sql).strip()


@contextmanager
def a_world(url: str) -> Iterator[World]:
    """A superuser's, for whom there is no row security, in a database of its own."""
    engine = create_engine(psycopg_url(url), poolclass=NullPool)
    with engine.connect() as tx:
        tx.execute(text("set timezone = 'UTC'; set lock_timeout = '2s'; set search_path = public"))
        yield World(tx)
        tx.rollback()


def make_base(raw: psycopg.Connection) -> Ids:
    """Alice, what she has, and the spaces of all."""
    spaces = [a_space(raw, channel=one, dimensions=DIMENSIONS.get(one, 4)) for one in CHANNELS]
    beside = a_space(raw, channel="visual_clip", status="building", model="sextant")
    an_owner(raw, ALICE)
    assert [*spaces, beside] == [1, 2, 3, 4, 5]
    made = a_full_video(raw, owner=ALICE, generation=2, nearness=0.97)
    raw.execute(
        f"create index owner_hnsw_1_{ALICE.hex} on public.scene_embeddings using hnsw"
        " ((embedding::public.halfvec(109)) public.halfvec_cosine_ops)"
        f" where space_id = 1 and owner_id = '{ALICE}'"
    )
    return made


def add_strangers(raw: psycopg.Connection) -> Ids:
    """Bob and Carol, who have more of everything than Alice, in other languages too."""
    an_owner(raw, CAROL)
    an_owner(raw, BOB)
    a_full_video(raw, owner=CAROL, generation=2, language="danish")
    bobs = a_full_video(raw, owner=BOB, generation=2)
    for language in ("german", "german", None):
        video = a_video(raw, owner=BOB)
        words(raw, BOB, video, "pickel", "picke", "pickelz", "zpickel", "ham", "salt", "pickl")
        _scene(raw, BOB, video, generation=1, index=0, language=language)
    raw.execute(
        "update public.webhook_endpoints set events = '{video.ready,video.failed}'"
        " where owner_id = %s", (BOB,),
    )  # fmt: skip
    for owner in (BOB, CAROL):
        raw.execute("update public.owners set clip_enabled = false where id = %s", (owner,))
        raw.execute("update public.owners set disabled_at = now() where id = %s", (owner,))
    return bobs


def add_generation(raw: psycopg.Connection, own: Ids, generation: int) -> Ids:
    """Scenes of Alice's video that another run of the pipeline made."""
    made = _contents(raw, own.owner_id, own.video_id, generation, "english", 1.0)
    more = f"{SPEECH} zebra"
    raw.execute(
        "update public.scenes set transcript = %s where generation = %s", (more, generation)
    )
    raw.execute(
        "delete from public.scene_channels where channel = 'transcript' and scene_id = any (%s)",
        (made.scene_ids,),
    )
    return made


def add_deleted(raw: psycopg.Connection) -> Ids:
    """Another video of Alice's, which is being deleted."""
    made = a_full_video(raw, owner=ALICE, generation=2, status="deleting", door=False)
    return made


def words(raw: psycopg.Connection, owner: UUID, video: UUID, *them: str) -> None:
    """Words as they are spelt in a video."""
    for word in them:
        raw.execute(
            "insert into public.video_words (owner_id, video_id, word, spelt)"
            " values (%s, %s, %s, true)", (owner, video, word),
        )  # fmt: skip


def a_full_video(
    raw: psycopg.Connection,
    *,
    owner: UUID,
    generation: int,
    language: str = "english",
    nearness: float = 1.0,
    status: str = "ready",
    door: bool = True,
) -> Ids:
    """A row in every table, several where it counts; and of the HTTP service, if it is wanted."""
    video = a_video(raw, owner=owner, status=status, generation=generation)
    raw.execute("update public.videos set content_hash = 'hash' where id = %s", (video,))
    if door:
        # Alice's are of another video, so that those of this one can still be added.
        spelt = a_video(raw, owner=owner) if owner == ALICE else video
        words(raw, owner, spelt, "pickle", "morning")
        _door(raw, owner)
    return _contents(raw, owner, video, generation, language, nearness)


def _contents(
    raw: psycopg.Connection, owner: UUID, video: UUID, generation: int, language: str, near: float
) -> Ids:
    scenes = [
        _scene(raw, owner, video, generation=generation, index=index, language=language, near=near)
        for index in range(4)
    ]
    found = {
        name: _one(raw, f"select id from public.{table} where owner_id = %s limit 1", (owner,))
        for name, table in (
            ("upload_id", "uploads"), ("endpoint_id", "webhook_endpoints"),
            ("delivery_id", "webhook_deliveries"), ("key_id", "api_keys"),
        )
    }  # fmt: skip
    keyframe = _one(raw, "select id from public.keyframes where scene_id = %s", (scenes[0],))
    for status in ("waiting", "uploading"):
        found[f"{status}_id"] = _video_in(raw, owner, status)
    # What is being worked on is not the video that is searched.
    worked_on = video if generation == 2 and _is_deleting(raw, video) else found["waiting_id"]
    job = _one(
        raw,
        "insert into public.jobs (owner_id, video_id, generation, stage, total)"
        " values (%s, %s, %s, 'probe', 7) returning id",
        (owner, worked_on, generation),
    )
    raw.execute(
        "insert into public.jobs (owner_id, video_id, generation, stage, state, finished_at)"
        " values (%s, %s, %s, 'segment', 'succeeded', now())",
        (owner, worked_on, generation),
    )
    return Ids(
        owner, video, scenes[0], scenes, keyframe, job_id=job, generation=generation, **found
    )


def _is_deleting(raw: psycopg.Connection, video: UUID) -> bool:
    return bool(_one(raw, "select status = 'deleting' from public.videos where id = %s", (video,)))


def _video_in(raw: psycopg.Connection, owner: UUID, status: str) -> Any:
    """The owner's video with this status, which is made if there is none."""
    found = raw.execute(
        "select id from public.videos where owner_id = %s and status = %s", (owner, status)
    ).fetchone()
    if found:
        return found[0]
    made = a_video(raw, owner=owner, status=status)
    raw.execute("update public.videos set updated_at = '2000-01-01Z' where id = %s", (made,))
    return made


def _one(raw: psycopg.Connection, query: str, values: Sequence[Any]) -> Any:
    row = raw.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def _scene(
    raw: psycopg.Connection,
    owner: UUID,
    video: UUID,
    *,
    generation: int,
    index: int,
    language: str | None,
    near: float = 1.0,
) -> UUID:
    scene = uuid4()
    of_scene = (owner, scene)
    raw.execute(
        "insert into public.scenes (id, owner_id, video_id, generation, scene_index, start_ms,"
        " end_ms, transcript, description, summary, tags, language, sidecar, lease_token) values"
        " (%s, %s, %s, %s, %s, %s, %s, %s, 'a pickle', 'pickles', '{food}', %s,"
        """ '{"channels": {}}', 1)""",
        (scene, owner, video, generation, index, index * 1000, index * 1000 + 1000, SPEECH,
         language),
    )  # fmt: skip
    raw.execute(
        "insert into public.utterances (owner_id, video_id, generation, ordinal, scene_id,"
        " start_ms, end_ms, text, source) values (%s, %s, %s, %s, %s, %s, %s, %s, 'api')",
        (owner, video, generation, index, scene, index * 1000, index * 1000 + 900, SPEECH),
    )
    raw.execute(
        "insert into public.keyframes (owner_id, scene_id, at_ms, rank, quality, image_key,"
        " image_hash) values (%s, %s, %s, 0, '{}', 'key', %s)",
        (*of_scene, index * 1000 + 100, f"picture {index}"),
    )
    for space, channel in enumerate(CHANNELS, start=1):
        raw.execute(
            "insert into public.scene_channels (owner_id, scene_id, channel, status)"
            " values (%s, %s, %s, %s)",
            (*of_scene, channel, "pending" if channel == "summary" else "ok"),
        )
        for ordinal in range(10 if space == 1 else 1):
            towards = near if ordinal == 0 else near * 0.05 * ordinal
            raw.execute(
                "insert into public.scene_embeddings (space_id, owner_id, video_id, scene_id,"
                " generation, ordinal, at_ms, embedding) values (%s, %s, %s, %s, %s, %s, %s,"
                " public.l2_normalize(%s::public.vector)::public.halfvec)",
                (space, owner, video, scene, generation, ordinal, index * 1000 + 100,
                 _towards(channel, towards)),
            )  # fmt: skip
    raw.execute(
        "insert into public.space_scenes (space_id, owner_id, scene_id, status)"
        " values (5, %s, %s, 'timeout')",
        of_scene,
    )
    return scene


def _towards(channel: str, cosine: float) -> str:
    """A vector with this cosine to the direction that queries have."""
    whole = direction(channel).count("1")
    first = [1.0] * whole
    away = [1.0 if place % 2 else -1.0 for place in range(whole - whole % 2)]
    away += [0.0] * (whole % 2)
    return json.dumps(
        [cosine * a + (1 - cosine**2) ** 0.5 * b for a, b in zip(first, away, strict=True)]
    )


def _door(raw: psycopg.Connection, owner: UUID) -> None:
    """What the HTTP service keeps; keys and URLs are the same for all owners."""
    secret = hashlib.sha256(owner.bytes).hexdigest()
    for statement in (
        "insert into public.paid_calls (owner_id, key, response, kind)"
        """ values (%(owner)s, 'key', '{}', 'describe')""",
        "insert into public.api_keys (owner_id, name, prefix, secret_hash, scopes)"
        " values (%(owner)s, 'a key', 'sbk_', %(secret)s, '{read}')",
        "insert into public.idempotency_keys (owner_id, key, request_hash, locked_until)"
        " values (%(owner)s, 'key', 'hash', '2100-01-01Z')",
        "insert into public.uploads (owner_id, bytes, received, expires_at)"
        " values (%(owner)s, 10, 5, '2100-01-01Z')",
        "with endpoint as (insert into public.webhook_endpoints (owner_id, url, secret, events)"
        " values (%(owner)s, 'https://example.org', 'whsec_', '{video.ready}')"
        " returning owner_id, id)"
        " insert into public.webhook_deliveries (owner_id, endpoint_id, event, payload)"
        " select owner_id, id, 'video.ready', '{}' from endpoint",
        "insert into public.searches (owner_id, took_ms, hits) values (%(owner)s, 1, 0)",
    ):
        raw.execute(statement, {"owner": owner, "secret": secret})


def argument_types(raw: psycopg.Connection) -> dict[str, dict[str, str]]:
    """The arguments with their types of every function of ours."""
    rows = raw.execute(
        "select n.nspname || '.' || p.proname, p.proargnames,"
        " array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as a (t, i)"
        " order by i) from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace"
        " where n.nspname in ('public', 'scenebook')"
        " and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')"
    )
    return {name: dict(zip(names or (), types, strict=False)) for name, names, types in rows}
