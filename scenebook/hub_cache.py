"""The model hub: what its client has downloaded, found without loading a model library."""

from __future__ import annotations

import ast
import importlib.util
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

# A hub that answers at all answers within this; its client would try again for a minute.
ANSWER_S = 10.0


def hub_cache() -> Path | None:
    """The directory of the hub's client; None where no client is installed."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return None
    return Path(HF_HUB_CACHE)


def why_unreachable() -> str | None:
    """Why the hub does not answer; None where it does, whatever it says."""
    try:
        from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
    except ImportError:
        return "the package huggingface_hub is not installed"
    if HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    request = urllib.request.Request(ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError, HTTPException) as error:
        return f"{ENDPOINT} does not answer ({getattr(error, 'reason', error)})"
    return None


def snapshot(cache: Path | None, repository: str | None) -> Path | None:
    """The files of a repository's main revision in a hub's cache, if they are there."""
    if cache is None or not repository:
        return None
    folder = cache / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    place = folder / "snapshots" / revision
    return place if place.is_dir() else None


def clip_repository(name: str, tag: str) -> str | None:
    """The hub's repository of a weights tag, from open_clip's table; None if it is not there."""
    table = _syntax("open_clip", "pretrained.py")
    if table is None:
        return None
    tags = dict(_pairs(_assigned(table, "_PRETRAINED"))).get(name.removesuffix("-quickgelu"))
    if isinstance(tags, ast.Name):
        tags = _assigned(table, tags.id)
    configuration = dict(_pairs(tags)).get(tag.lower().replace("-", "_"))
    path = dict(_pairs(configuration)).get("hf_hub")
    return str(path.value).rpartition("/")[0] if isinstance(path, ast.Constant) else None


def speech_repository(name: str) -> str | None:
    """The hub's repository of a Whisper model, from faster-whisper's table; None if not there."""
    table = _syntax("faster_whisper", "utils.py")
    path = dict(_pairs(_assigned(table, "_MODELS"))).get(name) if table is not None else None
    return str(path.value) if isinstance(path, ast.Constant) else None


def _pairs(value: ast.expr | None) -> Iterator[tuple[str, ast.expr]]:
    """Keys and values of a dictionary, or names and values of a call's arguments."""
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant):
                yield str(key.value), item
    elif isinstance(value, ast.Call):
        yield from ((item.arg, item.value) for item in value.keywords if item.arg is not None)


def _syntax(package: str, file: str) -> ast.Module | None:
    """A module's text, parsed: importing it would load torch or CTranslate2 into this process."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    try:
        return ast.parse((Path(found.submodule_search_locations[0]) / file).read_text("utf-8"))
    except (OSError, SyntaxError):
        return None


def _assigned(module: ast.Module, variable: str) -> ast.expr | None:
    """What a module assigns to a variable, first; None if it does not."""
    for statement in module.body:
        if isinstance(statement, ast.Assign) and variable in map(_name, statement.targets):
            return statement.value
    return None


def _name(target: ast.expr) -> str | None:
    return target.id if isinstance(target, ast.Name) else None
