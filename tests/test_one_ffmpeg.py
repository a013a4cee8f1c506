"""Untrusted media meet one FFmpeg, PyAV's, and it is not an old one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import av

ROOT = Path(__file__).parents[1]
# Each brings an FFmpeg of its own, or starts one.
OTHERS = {"imageio", "imageio_ffmpeg", "moviepy", "ffmpeg", "decord", "torchcodec", "pydub"}
CALLS = {"VideoCapture", "VideoWriter"}
PROGRAMS = {"ffmpeg", "ffprobe", "gs", "convert", "magick"}


def others(tree: ast.AST) -> Iterator[str]:
    """What of a module decodes media without PyAV."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from OTHERS & {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module)):
                yield from OTHERS & {module.split(".")[0]}
            case ast.Attribute(attr=name) if name in CALLS:
                yield name
            case ast.List(elts=[ast.Constant(value=str(program)), *_]):
                yield from PROGRAMS & {program.rsplit("/", 1)[-1]}


def test_no_module_decodes_with_another_ffmpeg() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for package in ("scenebook", "worker", "api")
        for path in (ROOT / package).rglob("*.py")
        if (names := sorted(others(ast.parse(path.read_text()))))
    }
    assert found == {}


def test_what_would_be_another_is_noticed() -> None:
    code = "import moviepy.editor\ncv2.VideoCapture(x)\nrun(['/usr/bin/ffmpeg', x])"
    assert sorted(others(ast.parse(code))) == ["VideoCapture", "ffmpeg", "moviepy"]


def test_the_libraries_of_ffmpeg_are_not_older_than_their_last_known_hole() -> None:
    # 8.1.2: a decoder of MagicYUV in older ones lets a file run code (CVE-2026-8461).
    assert av.library_versions["libavcodec"] >= (62, 28, 102)
    assert av.library_versions["libavformat"] >= (62, 12, 102)
