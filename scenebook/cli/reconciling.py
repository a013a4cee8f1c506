"""`scenebook reconcile`: objects without rows, rows without objects, and what is done then."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scenebook.cli.commands import AsJson, app
from scenebook.cli.output import answer, notes
from scenebook.cli.spaces import operating
from scenebook.errors import ConfigurationError
from scenebook.reconciling import Finding, Reconciling, Remedy

# A restored deployment may differ in more than anybody reads; the totals say how much there is.
LISTED = 1000
SHOWN = 50
DONE = {
    Remedy.REMOVE: "removed",
    Remedy.INDEX_AGAIN: "put on the to-do list",
    Remedy.MARK: "marked in the video's reason",
    Remedy.NONE: "left as it is",
}
TO_DO = {
    Remedy.REMOVE: "remove",
    Remedy.INDEX_AGAIN: "index again",
    Remedy.MARK: "mark",
    Remedy.NONE: "leave",
}


@app.command()
def reconcile(
    apply: Annotated[
        bool, typer.Option("--apply", help="Mend it; else only say what differs.")
    ] = False,
    older_than: Annotated[
        float, typer.Option(min=0, help="Hours since an object was written, to be removed.")
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Compare storage with the database, for all owners; for use after a restore."""
    with operating() as (place, operator):
        run = Reconciling(operator, place.storage, timedelta(hours=older_than), apply)
        owner_ids = run.owner_ids()
        if apply and owner_ids and not place.storage.prefixes():
            raise ConfigurationError(
                "Storage is empty, and the database knows owners. Check STORAGE_URL, or restore "
                "the storage first; nothing was changed."
            )
        totals: Counter[tuple[str, str]] = Counter()
        listed: list[Finding] = []
        removed_bytes = 0
        with notes().status("Comparing storage with the database…"):
            for owner_id in owner_ids:
                for one in run.owner(owner_id):
                    totals[one.difference, one.remedy] += 1
                    removed_bytes += one.bytes
                    if len(listed) < LISTED:
                        listed.append(one)
    answer(
        {
            "applied": apply,
            "owners": len(owner_ids),
            "removed_bytes": removed_bytes,
            "totals": [
                {"difference": difference, "remedy": remedy, "count": count}
                for (difference, remedy), count in sorted(totals.items())
            ],
            "findings": [_shape(one) for one in listed],
        },
        _table(listed, totals, apply=apply, removed_bytes=removed_bytes),
        as_json=as_json,
    )


def _shape(one: Finding) -> dict[str, Any]:
    return {
        "owner_id": str(one.owner_id),
        "difference": one.difference,
        "remedy": one.remedy,
        "key": one.key,
        "bytes": one.bytes,
        "video_id": None if one.video_id is None else str(one.video_id),
        "title": one.title,
        "objects": one.objects,
    }


def _table(
    listed: list[Finding], totals: Counter[tuple[str, str]], *, apply: bool, removed_bytes: int
) -> RenderableType:
    if not totals:
        return Text("Storage and database agree.")
    words = DONE if apply else TO_DO
    table = Table("Owner", "Difference", "What", "Remedy", box=None)
    for one in listed[:SHOWN]:
        what = one.key or f"{one.title} ({one.video_id})"
        table.add_row(str(one.owner_id), one.difference, Text(what), words[one.remedy])
    lines = [
        f"{difference}: {count}, {words[Remedy(remedy)]}"
        for (difference, remedy), count in sorted(totals.items())
    ]
    if removed_bytes:
        lines.append(f"{removed_bytes / 1e6:.1f} MB are {'freed' if apply else 'to be freed'}")
    if not apply:
        lines.append("Nothing was changed. `scenebook reconcile --apply` does it.")
    return Group(table, Text("\n".join(lines)))
