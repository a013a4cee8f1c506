"""Proves a backup: restores it into servers of its own, mends what differs, and works it off.

python infra/drill.py BACKUP [--patience SECONDS]. Nothing outside a temporary directory is touched.
It prints what was found as JSON, and exits with 1 if a video did not come to an end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from scenebook import logs
from scenebook.cli.supervisor import Supervisor
from scenebook.cli.workplace import filled_in
from scenebook.db import queue, videos
from scenebook.db.engine import Database, Role
from scenebook.embedded import EmbeddedServices
from scenebook.embedded.postgres import binary
from scenebook.environment import process_environment
from scenebook.model import SETTLED
from scenebook.reconciling import Reconciling
from scenebook.settings import Settings, get_settings
from scenebook.spaces import Operator
from scenebook.storage import Storage

HERE = Path(__file__).resolve().parent
# The receivers of webhooks are real.
SILENCE = """
update public.webhook_endpoints set disabled_at = now(), disabled_reason = 'drill';
update public.webhook_deliveries set state = 'failed', finished_at = now()
where state = 'pending';
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill; 0 if everything came to an end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backup", type=Path)
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds")
    given = parser.parse_args(arguments)
    logs.configure(get_settings())
    home = Path(tempfile.mkdtemp(prefix="scenebook-drill-"))
    try:
        with EmbeddedServices(home) as own:
            bare = get_settings().model_copy(
                update={
                    "scenebook_data_dir": home,
                    "storage_url": (home / "restored").as_uri(),
                    "database_url": None,
                    "redis_url": None,
                    "metrics_port": None,
                    "migrations_database_url": None,
                }
            )
            report = drill(
                given.backup,
                filled_in(bare, own.database_url, own.redis_url),
                log_dir=home / "log",
                patience_s=given.patience,
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write(json.dumps(report, indent=2, default=str) + "\n")
    return 0 if report["unfinished"] == 0 else 1


def drill(backup: Path, settings: Settings, *, log_dir: Path, patience_s: float) -> dict[str, Any]:
    """Restore into these servers, reconcile, and work until nothing is left to do."""
    began = time.monotonic()
    restore(backup, settings)
    restored_s = time.monotonic() - began
    url = settings.database_url
    assert url is not None
    with (
        closing(Database(url, role=Role.WORKER, pool_size=1)) as db,
        closing(Database(url, role=Role.RELAY, pool_size=1)) as relay,
    ):
        operator = Operator(db, relay)
        # Nobody uploads into a drill, so nothing is too young to be judged.
        run = Reconciling(operator, Storage(settings.storage), timedelta(0), apply=True)
        findings = [one for owner_id in run.owner_ids() for one in run.owner(owner_id)]
        with Supervisor(settings, log_dir=log_dir) as running:
            deadline = time.monotonic() + patience_s
            while _open(operator) and time.monotonic() < deadline:
                running.check_or_give_up()
                time.sleep(0.2)
        statuses: Counter[str] = Counter()
        unfinished = 0
        for owner_id in operator.owner_ids():
            with db.transaction(owner_id=owner_id) as tx:
                for video in videos.all_of(tx, owner_id=owner_id):
                    statuses[video.status] += 1
                    unfinished += video.status not in SETTLED
    return {
        "restored_s": round(restored_s, 1),
        "total_s": round(time.monotonic() - began, 1),
        "findings": [
            {"difference": one.difference, "remedy": one.remedy, "of": one.key or one.video_id}
            for one in findings
        ],
        "videos": dict(statuses),
        "unfinished": unfinished,
    }


def restore(backup: Path, settings: Settings) -> None:
    """What a person would run."""
    url = settings.database_url or ""
    told = {
        "DATABASE_URL": url,
        "MIGRATIONS_DATABASE_URL": url,  # never the deployment's own
        "STORAGE_URL": settings.storage,
        "PG_BIN": str(binary("psql").parent),
        "SCENEBOOK": str(Path(sys.executable).with_name("scenebook")),
    }
    subprocess.run(
        [HERE / "restore.sh", backup],
        env=process_environment(told),
        check=True,
        stdout=sys.stderr,
    )
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute(SILENCE)


def _open(operator: Operator) -> bool:
    with operator.relay.across_owners() as tx:
        return bool(queue.depth(tx))


if __name__ == "__main__":
    sys.exit(main())
