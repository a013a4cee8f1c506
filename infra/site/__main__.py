"""Writes the pages of the documentation site that are made from the code, into build/pages.

python -m infra.site, in the project's environment; `make site` does it before it builds the site.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from api.app import create_app
from infra.site.decisions import decisions_page
from infra.site.http_routes import http_pages
from infra.site.sql_functions import sql_page
from scenebook.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "build" / "pages"


def main() -> None:
    """Make all of them anew."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for name, text in pages().items():
        path = PAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def pages() -> dict[str, str]:
    """Every page that is made from the code, by its path in the site."""
    # Nothing is connected to: the application is only described.
    settings = Settings(database_url="postgresql://nowhere/none", scenebook_secret_key="-" * 32)
    return {
        **http_pages(create_app(settings).openapi()),
        "reference/sql-functions.md": sql_page(ROOT / "migrations" / "functions"),
        "decisions/index.md": decisions_page(ROOT / "docs" / "decisions"),
    }


if __name__ == "__main__":
    main()
