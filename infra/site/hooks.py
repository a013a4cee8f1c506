"""What MkDocs does besides: made pages, links out of the documentation, nothing from elsewhere.

It runs in the environment of `make site`, which has MkDocs and nothing of the project.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.site")

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MADE = ROOT / "build" / "pages"
LINK = re.compile(
    r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>\.\.?/[^)#\s]+|[\w./-]+)(?P<anchor>#[^)]*)?\)"
)
# What a browser loads by itself; a link that somebody clicks is none of these.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\ssrc=\"?(?:https?:)?//[^\s\">]+|"
    r"<link\b(?=[^>]*rel=\"?(?:stylesheet|preconnect|icon|preload))[^>]*href=\"?(?:https?:)?//[^\s\">]+"
)

# The theme gives its search no name, which screen readers want.
DIALOG = 'data-md-component="search" role="dialog"'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put all pages of a folder into the navigation where it says `folder/*`."""
    config.nav = [_expanded(entry) for entry in config.nav or ()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that `python -m infra.site` made."""
    for path in sorted(MADE.rglob("*.md")):
        name = path.relative_to(MADE).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the repository's other files to where it is shown, if anywhere."""

    def elsewhere(found: re.Match[str]) -> str:
        if files.get_file_from_path(_resolved(page, found["target"])) is not None:
            return found[0]
        path = posixpath.normpath(posixpath.join("docs", _resolved(page, found["target"])))
        if not (ROOT / path).exists():
            return found[0]  # MkDocs says that it is broken
        if not config.extra["repository"]:
            return found["text"]
        return f"[{found['text']}]({config.extra['repository'].rstrip('/')}/{path})"

    return LINK.sub(elsewhere, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Warn of anything that a reader's browser would load from another host."""
    for found in LOADED.findall(output):
        log.warning("%s loads from elsewhere: %s", page.file.src_uri, found)
    return output.replace(DIALOG, f'{DIALOG} aria-label="Search"')


def _expanded(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(inner) for title, inner in entry.items()}
    if isinstance(entry, list):
        return [_expanded(inner) for inner in entry]
    return _pages_of(entry.removesuffix("/*")) if entry.endswith("/*") else entry


def _pages_of(folder: str) -> list[str]:
    """The pages of a folder, written and made, its index first."""
    names = {path.name for root in (DOCS, MADE) for path in (root / folder).glob("*.md")}
    names.discard("index.md")
    return [f"{folder}/{name}" for name in ("index.md", *sorted(names))]


def _resolved(page: Page, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), target))
