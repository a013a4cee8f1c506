"""The page of the SQL functions: signatures and comments, read from migrations/functions."""

from __future__ import annotations

import re
from pathlib import Path

INTRODUCTION = """# SQL functions

Every function, with its arguments, its columns and its comment, as `migrations/functions` defines
it. [SQL](../sql.md) shows how they are used, [Supabase](../supabase.md) how clients call them.

"""
PUBLIC = """## For callers

Granted to `authenticated` and `service_role`, and reachable as `POST /rest/v1/rpc/…`. Each takes
the owner as `filter_user_id`, which is required whatever its default says.

"""
INNER = """## Inside

In the schema `scenebook`: parts of the functions above. They are no interface, and may change with
any release.

"""
FUNCTION = re.compile(
    r"create or replace function (?P<schema>\w+)\.(?P<name>\w+)\((?P<arguments>.*?)\n?\)\n"
    r"returns (?P<returns>.*?)\nlanguage (?P<language>\w+)",
    re.DOTALL,
)
COMMENT = re.compile(r"^comment on function \S+ is\s+'((?:[^']|'')*)';", re.MULTILINE)


def sql_page(folder: Path) -> str:
    """The public functions in the order of their names, then the others."""
    sections: dict[str, list[str]] = {"public": [], "scenebook": []}
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text("utf-8")
        found = FUNCTION.search(text)
        said = COMMENT.search(text)
        if found is None or said is None:
            raise ValueError(f"{path} holds no function with a comment that can be read.")
        sections[found["schema"]].append(_section(found, said[1].replace("''", "'")))
    return (
        INTRODUCTION + PUBLIC + "".join(sections["public"]) + INNER + "".join(sections["scenebook"])
    )


def _section(found: re.Match[str], comment: str) -> str:
    arguments = _fields(found["arguments"])
    text = f"### `{found['name']}`\n\n{' '.join(comment.split())}\n\n"
    if arguments:
        text += _table(("argument", "type", "default", "meaning"), arguments)
    returns = found["returns"].strip()
    if columns := re.fullmatch(r"table \((.*)\)", returns, re.DOTALL):
        rows = [(name, kind, said) for name, kind, _, said in _fields(columns[1])]
        return text + "Rows of\n\n" + _table(("column", "type", "meaning"), rows)
    return text + f"Returns `{' '.join(returns.split())}`.\n\n"


def _fields(text: str) -> list[tuple[str, str, str, str]]:
    """Name, type, default and remark of each argument or column."""
    fields: list[tuple[str, str, str, str]] = []
    for line in _one_a_line(text):
        code, _, remark = (part.strip() for part in line.partition("--"))
        if not code and fields:  # a remark that goes on
            name, kind, default, said = fields.pop()
            fields.append((name, kind, default, f"{said} {remark}".strip()))
        elif code:
            name, _, rest = code.rstrip(",").partition(" ")
            kind, _, default = rest.partition(" default ")
            fields.append((name, kind, default, remark))
    return fields


def _one_a_line(text: str) -> list[str]:
    """Arguments that share a line stand on lines of their own; commas in brackets part nothing."""
    lines: list[str] = []
    for line in text.strip("\n").splitlines():
        code, mark, remark = line.partition("--")
        pieces = [one for one in re.split(r",\s*(?![^()\[\]]*[)\]])", code.strip()) if one]
        lines += pieces[:-1]
        lines.append((pieces[-1] if pieces else "") + mark + remark)
    return lines


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    remarked = any(row[-1] for row in rows)
    heads = heads if remarked else heads[:-1]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for *code, remark in rows:
        cells = [f"`{one}`" if one else "" for one in code]
        if remarked:
            cells.append(remark.replace("|", r"\|"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"
