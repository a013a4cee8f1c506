"""The `scenebook` command as tests start it: a process of its own on its own data directory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from scenebook.embedded import adopt_running
from scenebook.environment import process_environment
from tests.stack import free_port

ROOT = Path(__file__).resolve().parents[1]
VIDEO = ROOT / "tests" / "media" / "composite_dev.mp4"
COMMAND = [sys.executable, "-c", "from scenebook.cli import main; main()"]
# Each start takes a second or two on a busy machine; nothing here waits for a deadline of ours.
PATIENCE_S = 150


class Scenebook:
    """Runs commands on one data directory."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        ours = {
            "SCENEBOOK_DATA_DIR": str(home),
            "SCENEBOOK_OWNER": "alice",
            "TEXT_EMBEDDING_PROVIDER": "fake",
            "TRANSCRIPTION_PROVIDER": "off",
            "CLIP_CPU_THREADS": "1",  # tests run side by side
            "PORT": str(free_port()),
        }
        self.environ = process_environment(ours | environ)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *words],
            env=self.environ,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def error(self, *words: str) -> str:
        done = self.run(*words, code=1)
        assert "Traceback" not in done.stderr
        return done.stderr

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command in a session of its own, as a terminal would start it."""
        with (self.home.parent / "up.log").open("wb") as log:
            return subprocess.Popen(
                [*COMMAND, *words],
                env=self.environ,
                cwd=self.home.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """The five processes below a running `up`."""
        deadline = time.monotonic() + PATIENCE_S
        children: list[psutil.Process] = []
        while len(children) < 5 or adopt_running(self.home) is None:
            assert process.poll() is None, (self.home.parent / "up.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
            children = psutil.Process(process.pid).children()
        return psutil.Process(process.pid).children(recursive=True)


def documented(heading: str) -> Any:
    """The JSON that docs/cli.md shows below a heading."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    found = re.search(r"```json\n(.*?)```", page[page.index(heading) :], re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def assert_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 40
    while left := [one for one in processes if _runs(one)]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
