"""Tethered processes: programs that stop when this process does, however it ends."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from scenebook.embedded import tether
from scenebook.environment import child_environment
from scenebook.errors import Unavailable

# Exists on every distribution, and owns nothing.
UNPRIVILEGED = "nobody"
LOG_BYTES = 5_000_000


@cache
def service_account() -> tuple[int, int] | None:
    """User and group for embedded servers, or None when this process is not root."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise Unavailable(
            f"Postgres does not run as root and there is no account named {UNPRIVILEGED}. "
            "Run scenebook as another user, or set DATABASE_URL."
        ) from None
    return account.pw_uid, account.pw_gid


def private_directory(path: Path) -> Path:
    """A directory that only the embedded servers' account may enter; refuses somebody else's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = service_account()
    owner = path.lstat().st_uid
    if path.is_symlink() or owner not in {os.geteuid(), account[0] if account else os.geteuid()}:
        raise Unavailable(
            f"{path} belongs to somebody else. Remove it, or set SCENEBOOK_DATA_DIR elsewhere."
        )
    if account is not None and owner != account[0]:
        os.chown(path, *account)
    path.chmod(0o700)
    return path


def start_tethered(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    unprivileged: bool = False,
    log: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own that gets `death_signal` when we die.

    The kernel watches the calling THREAD, so call this from one that lives as long as the process.
    Its own session keeps a Ctrl-C in the terminal from reaching it before us. Without an
    environment it gets the one for children, which holds no secrets.
    """
    account = service_account() if unprivileged else None
    uid, gid = account or (-1, -1)
    launcher = [sys.executable, "-I", "-S", tether.__file__]
    return subprocess.Popen(
        [
            *launcher, str(os.getpid()), str(int(death_signal)), str(uid), str(gid),
            *map(str, command),
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT if log is not None else None,
        env=dict(environment if environment is not None else child_environment()),
        cwd="/" if unprivileged else None,
        start_new_session=True,
    )  # fmt: skip


def stop_process(
    process: subprocess.Popen[bytes], *, signals: Mapping[signal.Signals, float]
) -> None:
    """Send each signal in turn, waiting its seconds for the end; SIGKILL to the group at last."""
    for number, patience_s in signals.items():
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def open_log(path: Path) -> IO[bytes]:
    """An append-only log file, started afresh when it has grown large."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.unlink()
    return path.open("ab")


def last_lines(path: Path, count: int = 5) -> str:
    """The end of a log, for an error message."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
