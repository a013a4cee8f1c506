"""The nemesis: one fault after the other, of every kind, at whatever is there to be hit."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import psycopg
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.chaos.world import LEASE_S, World
from tests.openai_server import CHAT, Reply, failure
from worker.pipeline import failpoints

PAUSE_S = LEASE_S + 1
QUEUE = "scenebook"
SERVERS = ("api", "relay-1", "relay-2", "worker-1", "worker-2")
WORKERS = ("worker-1", "worker-2")
# More at once would leave nobody to be hit.
AT_ONCE = 2

Fault = Callable[[World, random.Random], bool]


def _processes(world: World, names: tuple[str, ...], *, module: str | None) -> list[psutil.Process]:
    """Processes of these programs that run a module; None: Celery's pool processes."""
    found = []
    for name in names:
        main, *others = world.family(name) or [None]
        for one in others:
            with suppress(psutil.Error):
                is_module = module is not None and module in one.cmdline()
                is_pool = module is None and main is not None and one.ppid() == main.pid
                if is_module or (is_pool and "celery" in " ".join(one.cmdline())):
                    found.append(one)
    return found


def _kill_one(found: list[psutil.Process], chance: random.Random) -> bool:
    with suppress(psutil.NoSuchProcess):
        if found:
            chance.choice(found).kill()
            return True
    return False


def kill_pool_process(world: World, chance: random.Random) -> bool:
    """SIGKILL for a process that runs jobs."""
    return _kill_one(_processes(world, WORKERS, module=None), chance)


def kill_media_child(world: World, chance: random.Random) -> bool:
    """SIGKILL for a decoder."""
    return _kill_one(_processes(world, WORKERS, module="worker.media.child"), chance)


def kill_inference_child(world: World, chance: random.Random) -> bool:
    """SIGKILL for a worker's or the API's models."""
    names = (*WORKERS, "api")
    return _kill_one(_processes(world, names, module="scenebook.encoders.child"), chance)


def _kill_main(world: World, names: tuple[str, ...], chance: random.Random) -> bool:
    family = world.family(chance.choice(names))
    return _kill_one(family[:1], chance)


def kill_worker_parent(world: World, chance: random.Random) -> bool:
    """SIGKILL for Celery's main process alone; what it started must not live on."""
    return _kill_main(world, WORKERS, chance)


def kill_worker(world: World, chance: random.Random) -> bool:
    """SIGKILL for a worker and all that it started, as when a machine is lost."""
    family = world.family(chance.choice(WORKERS))
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    return bool(family)


def kill_relay(world: World, chance: random.Random) -> bool:
    """SIGKILL for a relay."""
    return _kill_main(world, ("relay-1", "relay-2"), chance)


def kill_api(world: World, chance: random.Random) -> bool:
    """SIGKILL for the API, with whatever it was receiving."""
    return _kill_main(world, ("api",), chance)


def terminate(world: World, chance: random.Random) -> bool:
    """SIGTERM for any program, as in a deployment."""
    family = world.family(chance.choice(SERVERS))
    with suppress(psutil.NoSuchProcess):
        if family:
            family[0].terminate()
            return True
    return False


def _pause(processes: list[psutil.Process], seconds: float) -> bool:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.suspend()
    time.sleep(seconds)
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.resume()
    return bool(processes)


def pause_pool_process(world: World, chance: random.Random) -> bool:
    """SIGSTOP for a process that runs jobs, for longer than its lease."""
    found = _processes(world, WORKERS, module=None)
    return _pause([chance.choice(found)], PAUSE_S) if found else False


def pause_worker(world: World, chance: random.Random) -> bool:
    """SIGSTOP for a worker and all that it started, for longer than its leases."""
    return _pause(world.family(chance.choice(WORKERS)), PAUSE_S)


def pause_relay(world: World, chance: random.Random) -> bool:
    """SIGSTOP for a relay."""
    return _pause(world.family(chance.choice(("relay-1", "relay-2"))), PAUSE_S)


def _broker(world: World) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(world.redis.socket_path), socket_timeout=2, socket_connect_timeout=2
    )


def flush_redis(world: World, _: random.Random) -> bool:
    """FLUSHALL: every message is gone."""
    with suppress(redis.RedisError):
        _broker(world).flushall()
        return True
    return False


def restart_redis(world: World, _: random.Random) -> bool:
    """SIGKILL for Redis, which comes back empty."""
    pid = world.redis.pid
    if pid is None:
        return False
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    world.on_starter(world.redis.check)
    return True


def freeze_redis(world: World, _: random.Random) -> bool:
    """SIGSTOP for Redis: connections stay open and nobody answers."""
    pid = world.redis.pid
    return pid is not None and _pause([psutil.Process(pid)], 4)


def crash_postgres(world: World, _: random.Random) -> bool:
    """Postgres ends at once, without a checkpoint, and recovers from its log."""
    pid = world.postgres.pid
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGQUIT)  # "immediate shutdown"
    time.sleep(1)
    world.on_starter(world.postgres.check)
    return True


def kill_backend(world: World, chance: random.Random) -> bool:
    """SIGKILL for a session of Postgres, which then resets all of them."""
    with suppress(psycopg.Error), psycopg.connect(world.database_url) as connection:
        ours = connection.execute(
            "select pid from pg_stat_activity where application_name like 'scenebook%'"
        ).fetchall()
        return _kill_one([psutil.Process(pid) for (pid,) in ours], chance)
    return False


def cut_connections(world: World, _: random.Random) -> bool:
    """Every session of ours is ended by the server."""
    with suppress(psycopg.Error), psycopg.connect(world.database_url) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'scenebook%'"
        )
        return True
    return False


def break_models(world: World, chance: random.Random) -> bool:
    """The model service is down, fails, resets or hangs, and what was paid for is forgotten."""
    with suppress(psycopg.Error), psycopg.connect(world.database_url) as connection:
        connection.execute("delete from public.paid_calls")
    reply = chance.choice([failure(500), failure(429), Reply(reset=True), Reply(hang=True)])
    world.models.script(CHAT, *[reply] * 200)
    time.sleep(3)
    world.models.behave()
    return True


def lose_storage(world: World, _: random.Random) -> bool:
    """The storage is not there for a while, as when a disk is not mounted."""
    away = world.storage_dir.with_name("away")
    world.storage_dir.rename(away)
    time.sleep(2)
    if world.storage_dir.exists():  # what was written there is lost, and nobody may rely on it
        world.storage_dir.rename(world.home / f"astray-{time.monotonic_ns()}")
    away.rename(world.storage_dir)
    return True


def fill_disk(world: World, chance: random.Random) -> bool:
    """No process of a worker or of the API can write a byte to a file."""
    targets = world.family(chance.choice((*WORKERS, "api")))
    before: list[tuple[psutil.Process, tuple[int, int]]] = []
    for one in targets:
        with suppress(psutil.Error, OSError):
            limits = one.rlimit(resource.RLIMIT_FSIZE)
            one.rlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
            before.append((one, limits))
    time.sleep(3)
    for one, limits in before:
        with suppress(psutil.Error, OSError):
            one.rlimit(resource.RLIMIT_FSIZE, limits)
    return bool(before)


def repeat_messages(world: World, chance: random.Random) -> bool:
    """Twenty more messages for one job, and ten for others, old ones too."""
    with suppress(psycopg.Error), psycopg.connect(world.database_url) as connection:
        jobs = connection.execute(
            "select id, stage from public.jobs order by finished_at nulls first limit 40"
        ).fetchall()
        if not jobs:
            return False
        chosen = [chance.choice(jobs)] * 20 + chance.choices(jobs, k=10)
        ringing = Celery(broker=world.redis.url, set_as_current=False)
        ringing.conf.task_default_queue = QUEUE
        ringing.conf.task_publish_retry = False
        ringing.conf.broker_transport_options = {"socket_timeout": 2, "socket_connect_timeout": 2}
        with suppress(OperationalError), ringing.connection_for_write() as to:
            for job_id, stage in chosen:
                ringing.send_task(stage, args=[job_id], ignore_result=True, connection=to)
            return True
    return False


def garbage_messages(world: World, _: random.Random) -> bool:
    """Bytes on the queue that no client of ours wrote."""
    with suppress(redis.RedisError):
        broker = _broker(world)
        for content in (b"garbage", b"{}", b"\x80\x04\x95pickle", b"[1, 2"):
            broker.lpush(QUEUE, content)
        return True
    return False


FAULTS: Mapping[str, Fault] = {
    one.__name__: one
    for one in (
        kill_pool_process, kill_media_child, kill_inference_child, kill_worker_parent, kill_worker,
        kill_relay, kill_api, terminate, pause_pool_process, pause_worker, pause_relay,
        flush_redis, restart_redis, freeze_redis, crash_postgres, kill_backend, cut_connections,
        break_models, lose_storage, fill_disk, repeat_messages, garbage_messages,
    )
}  # fmt: skip


class Nemesis:
    """Deals faults until it is stopped, first one of each kind, then at random."""

    def __init__(self, world: World, *, seed: int, every_s: float) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self._busy: set[str] = set()
        self._armed: Counter[str] = Counter()
        self.dealt: Counter[str] = Counter({name: 0 for name in self.kinds})
        self.errors: list[str] = []

    @property
    def never(self) -> list[str]:
        """Kinds that were not dealt yet."""
        return [kind for kind in self.kinds if self.dealt[kind] == 0]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Everything that it can do."""
        return (*FAULTS, *(f"die_{name}" for name in failpoints.NAMES))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End what is under way, and disarm."""
        self._over.set()
        self._thread.join()
        for armed in self._world.armed.iterdir():
            armed.unlink(missing_ok=True)

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not self._over.wait(self._every_s):
                self._look_at_failpoints()
                if len(self._busy) < AT_ONCE:
                    kind = self._next()
                    self._busy.add(kind)
                    pool.submit(self._deal, kind, random.Random(self._random.random()))
        self._look_at_failpoints()

    def _next(self) -> str:
        free = [kind for kind in self.kinds if kind not in self._busy and not self._is_armed(kind)]
        least = min(self.dealt[kind] for kind in free)
        never = [kind for kind in free if self.dealt[kind] == 0]
        return self._random.choice(never if least == 0 and self._random.random() < 0.8 else free)

    def _is_armed(self, kind: str) -> bool:
        return (self._world.armed / kind.removeprefix("die_")).exists()

    def _deal(self, kind: str, chance: random.Random) -> None:
        try:
            if kind.startswith("die_"):
                name = kind.removeprefix("die_")
                self._armed[name] += 1
                (self._world.armed / name).touch()
            elif FAULTS[kind](self._world, chance):
                self.dealt[kind] += 1
        except Exception as error:  # noqa: BLE001 - the run goes on, and says so
            self.errors.append(f"{kind}: {type(error).__name__}: {error}")
        finally:
            self._busy.discard(kind)

    def _look_at_failpoints(self) -> None:
        """A failpoint is dealt once somebody died at it."""
        for name in failpoints.NAMES:
            waiting = int((self._world.armed / name).exists())
            self.dealt[f"die_{name}"] = self._armed[name] - waiting
