"""The documentation holds together: its pages, its links, and what is made from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from api.app import create_app
from infra.site.__main__ import pages
from scenebook.settings import Settings
from tests.test_supply_chain import entries

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
MADE = pages()


class Loose(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags only MkDocs understands."""


Loose.add_multi_constructor("", lambda loader, suffix, node: None)


def listed(entry: Any) -> Iterator[str]:
    """The pages of the navigation, and its folders as `folder/*`."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from listed(inner)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the repository's host and the site both make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        if own := re.search(r"\{ #(\S+) \}", heading):
            found.add(own[1])
        else:
            found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def broken(text: str, folder: Path) -> list[str]:
    """Links of a page in this folder that lead to no file, or to no heading in it."""
    wrong = []
    for target, anchor in re.findall(
        r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)", without_code(text)
    ):
        path = (folder / target).resolve()
        name = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else ""
        if target and not path.exists() and name not in MADE:
            wrong.append(target)
        elif anchor:
            there = text if not target else MADE.get(name) or path.read_text("utf-8")
            wrong += [f"{target}#{anchor}"] if anchor not in anchors(there) else []
    return wrong


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 60


def test_every_page_has_its_place_in_the_navigation_and_no_place_is_empty() -> None:
    nav = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loose)["nav"]
    named = list(listed(nav))
    places = set(named)
    assert len(named) == len(places), "a page has one place"
    folders = {place.removesuffix("/*") for place in places if place.endswith("/*")}
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | MADE.keys()
    alone = {name for name in there if name.rpartition("/")[0] not in folders}
    assert alone == places - {f"{folder}/*" for folder in folders}, "name them in mkdocs.yml"
    assert folders == {name.rpartition("/")[0] for name in there - alone}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page.read_text("utf-8"), page.parent) == []


@pytest.mark.parametrize("name", sorted(MADE))
def test_every_link_of_a_made_page_leads_somewhere(name: str) -> None:
    assert broken(MADE[name], (DOCS / name).parent) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = "[a](nowhere.md) [b](api.md#errors) [c](api.md#no-such-heading) [d](#nor-this)"
    assert broken(page, DOCS) == ["nowhere.md", "api.md#no-such-heading", "#nor-this"]


def test_every_route_is_shown_with_its_parameters_answers_and_errors() -> None:
    settings = Settings(database_url="postgresql://nowhere/none", scenebook_secret_key="-" * 32)
    index = MADE["reference/http/index.md"]
    for path, operations in create_app(settings).openapi()["paths"].items():
        for method, operation in operations.items():
            name = f"`{method.upper()} {path}`"
            assert f"[{name}]" in index
            (page,) = [text for text in MADE.values() if f"## {name} " in text]
            section = page.partition(f"## {name} ")[2].partition("\n## ")[0]
            for one in operation.get("parameters", ()):
                assert f"| `{one['name']}` | {one['in']} |" in section, name
            for status in operation["responses"]:
                assert f"| {status} | " in section + index.partition("## Errors")[2], name


def test_every_function_of_the_catalog_is_shown_with_its_comment(database_url: str) -> None:
    page = MADE["reference/sql-functions.md"]
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "select p.proname, pg_catalog.obj_description(p.oid, 'pg_proc'), p.proargnames"
            " from scenebook.sql_functions as f join pg_proc as p on p.proname = f.name"
            " where p.pronamespace in ('public'::regnamespace, 'scenebook'::regnamespace)"
        ).fetchall()
    assert len(found) > 20
    for name, comment, arguments in found:
        section = page.partition(f"### `{name}`\n")[2].partition("\n##")[0]
        assert " ".join(comment.split()) in section
        assert [one for one in arguments or () if f"\n| `{one}` | `" not in section] == [], name


def test_what_builds_the_site_is_locked_by_hash_and_no_index_is_named() -> None:
    locked = entries("site/requirements.lock")
    assert {"mkdocs", "mkdocs-material"} <= locked.keys()
    assert all(hashes for _, hashes in locked.values())
    assert "//" not in (ROOT / "infra" / "site" / "requirements.lock").read_text("utf-8")
