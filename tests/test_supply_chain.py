"""What a deployment installs is locked by hash, and old native libraries are said to be old."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from scenebook.cli import libraries
from scenebook.cli.checks import Verdict

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
LOCKS = ("api.lock", "worker.lock", "torch-cpu.lock", "torch-cuda.lock")
# Builds our own package in the images; nothing imports it, so `make venv` does not pin it.
BUILDS = {"setuptools"}


def entries(name: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package of a lock."""
    text = (INFRA / name).read_text("utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)*)", text, re.M)
    return {
        package: (version, re.findall(r"sha256:([0-9a-f]{64})", hashes))
        for package, version, hashes in found
    }


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_of_a_lock_has_a_hash_and_no_index_is_named(name: str) -> None:
    locked = entries(name)
    assert all(hashes for _, hashes in locked.values())
    lines = (INFRA / name).read_text("utf-8").splitlines()
    starts = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(starts) == len(locked)
    assert [line for line in lines if "//" in line or line.startswith("--")] == []


def test_the_locks_agree_with_the_constraints() -> None:
    pins = pinned()
    locked = entries("worker.lock") | entries("torch-cpu.lock")
    differing = {
        name: version
        for name, (version, _) in locked.items()
        if name not in BUILDS and pins.get(name) != version.partition("+")[0]
    }
    assert differing == {}, "run `make lock`"
    cuda = entries("torch-cuda.lock")
    assert [cuda[name][0] for name in ("torch", "torchvision")] == [
        pins["torch"],
        pins["torchvision"],
    ]


def required(*extras: str) -> set[str]:
    """Names of the packages that the project itself asks for, with these extras."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    blocks = [
        re.search(rf"^{extra} = \[\n(.*?)^\]", project, re.M | re.S)
        for extra in ("dependencies", *extras)
    ]
    return {
        re.sub(r"[-_.]+", "-", name).lower()
        for block in blocks
        if block is not None
        for name in re.findall(r'^    "([A-Za-z0-9_-]+)', block[1], re.M)
    }


def test_the_locks_hold_all_that_the_images_need() -> None:
    wanted = required("text", "onnx", "export", "clip", "speech")
    assert wanted - entries("worker.lock").keys() - entries("torch-cpu.lock").keys() == set()
    assert required("onnx") - entries("api.lock").keys() == set()


def test_the_api_has_the_workers_packages_and_none_of_torchs() -> None:
    api, worker = entries("api.lock"), entries("worker.lock")
    assert {name: entry for name, entry in api.items() if worker.get(name) != entry} == {}
    heavy = {"torch", "torchvision", "transformers", "sentence-transformers", "open-clip-torch"}
    assert heavy & api.keys() == set()


@pytest.mark.parametrize("name", ["api.Dockerfile", "worker.Dockerfile"])
def test_an_image_installs_by_hash_only(name: str) -> None:
    code = (INFRA / name).read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip install [^;&\n]*", code)
    assert installs
    assert [
        line
        for line in installs
        if "--require-hashes" not in line and not re.search(r"--no-deps .*--editable \.", line)
    ] == []
    assert re.findall(r"npm (?!ci$|run build$).*", code, re.M) == []  # `ci` takes the lock's hashes


def test_doctor_names_the_native_libraries_and_decodes_with_a_mended_one() -> None:
    found = {check.name: check for check in libraries.check_libraries()}
    assert set(found) == {
        f"library {name}" for name in ("ffmpeg", "opencv", "pillow", "libpq", "sound", "onnx")
    }
    assert found["library ffmpeg"].verdict is Verdict.OK, found["library ffmpeg"].detail
    for name, part in (("ffmpeg", "libavcodec"), ("pillow", "webp"), ("opencv", "JPEG")):
        assert part in found[f"library {name}"].detail


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("8.1.2", False), ("8.1.1", True), ("8.0.3", False), ("8.0.2", True), ("7.1.5", False),
        ("7.1.4", True), ("n7.1.5-3", False), ("7.0.9", True), ("6.1", True), ("9.0", False),
        ("N-12345-gabcdef", False),
    ],
)  # fmt: skip
def test_an_ffmpeg_with_known_holes_is_told_from_others(version: str, old: bool) -> None:
    assert libraries.is_old_ffmpeg(version) is old


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (150013, Verdict.WARN), (150014, Verdict.OK), (160009, Verdict.WARN), (170006, Verdict.OK),
        (170005, Verdict.WARN), (180000, Verdict.OK),
    ],
)  # fmt: skip
def test_a_postgres_whose_statistics_leak_is_warned_of(number: int, verdict: Verdict) -> None:
    assert libraries.check_postgres(number).verdict is verdict


def test_an_old_pgvector_is_warned_of_unless_it_came_with_us() -> None:
    assert libraries.check_pgvector("0.8.5", embedded=False).verdict is Verdict.WARN
    assert libraries.check_pgvector("0.8.5", embedded=True).verdict is Verdict.OK
    assert libraries.check_pgvector("0.9.0", embedded=False).verdict is Verdict.OK


def test_an_invalid_index_is_named_with_its_remedy(database_url: str) -> None:
    names = {check.name: check for check in libraries.check_database(database_url, embedded=True)}
    assert names["indexes"].verdict is Verdict.OK
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "update pg_index set indisvalid = false"
            " where indexrelid = 'public.scenes_search_text_gin'::regclass"
        )
    checks = {check.name: check for check in libraries.check_database(database_url, embedded=True)}
    assert checks["indexes"].verdict is Verdict.WARN
    assert "reindex index concurrently scenes_search_text_gin" in str(checks["indexes"].remedy)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("reindex index concurrently scenes_search_text_gin")
    checks = {check.name: check for check in libraries.check_database(database_url, embedded=True)}
    assert checks["indexes"].verdict is Verdict.OK


def test_the_broker_says_its_version(redis_url: str) -> None:
    check = libraries.check_redis(redis_url)
    assert check.verdict is Verdict.OK
    assert check.detail[0].isdigit()


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (0, "", 0),
        (1, '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X"}]}]}', 1),
        (0, '{"dependencies": [{"name": "a", "skip_reason": "not on PyPI"}]}', 0),
        (1, "", 0),  # the service did not answer: said, and no finding
    ],
)
def test_the_audit_fails_for_findings_and_not_for_a_silent_service(
    tmp_path: Path, status: int, said: str, expected: int
) -> None:
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(f"#!/bin/sh\nprintf '%s' '{said}'\nexit {status}\n")
    stand_in.chmod(0o755)
    done = subprocess.run(
        [sys.executable, INFRA / "audit.py", stand_in], capture_output=True, text=True, check=False
    )
    assert done.returncode == expected, done.stderr
    assert ("not asked" in done.stderr) == ("vulns" not in said and (said != "" or status == 1))
