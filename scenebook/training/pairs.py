"""Image-caption pairs: read from a table, or made of an owner's described keyframes."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from scenebook.db import scenes, videos
from scenebook.db.engine import Database
from scenebook.errors import InvalidInput, NotFound
from scenebook.model import SETTLED
from scenebook.storage import Storage

LEAST_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture's file and what it shows.

    Pairs of one group share their batches: alike but for a detail, they teach to look closely.
    label is the class that the picture is of, where it has one; calibration needs it.
    """

    image: Path
    caption: str
    group: str = ""
    label: str = ""


def read_pairs(table: Path) -> list[Pair]:
    """The pairs of a CSV with the columns image and caption, and perhaps group and label.

    Paths are relative to the table. Raises NotFound or InvalidInput naming the line at fault.
    """
    if not table.is_file():
        raise NotFound(f"There is no file {table}. Name a CSV with the columns image and caption.")
    pairs = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened)
            if not {"image", "caption"} <= set(rows.fieldnames or ()):
                raise InvalidInput(f"{table.name} needs the columns image and caption.")
            for row in rows:
                pairs.append(_pair(table, rows.line_num, row))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidInput(f"{table.name} is no CSV in UTF-8: {error}.") from None
    if len(pairs) < LEAST_PAIRS:
        raise InvalidInput(
            f"{table.name} has {len(pairs)} pairs; training needs {LEAST_PAIRS} at least."
        )
    return pairs


def _pair(table: Path, line: int, row: dict[str, str | None]) -> Pair:
    image, text = (row["image"] or "").strip(), (row["caption"] or "").strip()
    path = table.parent / image
    if not image or not path.is_file():
        raise InvalidInput(f"{table.name}, line {line}: there is no file {path}.")
    if not text:
        raise InvalidInput(f"{table.name}, line {line}: the caption is empty.")
    return Pair(path, text, (row.get("group") or "").strip(), (row.get("label") or "").strip())


def described_keyframes(
    db: Database, storage: Storage, *, owner_id: UUID, directory: Path
) -> list[Pair]:
    """The best frame and the description of every scene that has both, copied into a directory.

    Scenes of one video are a group: telling them apart is what a search has to do.
    """
    pairs = []
    with db.transaction(owner_id=owner_id) as tx:
        found = [
            scene
            for video in videos.all_of(tx, owner_id=owner_id)
            if video.status in SETTLED
            for scene in scenes.of_video(
                tx, owner_id=owner_id, video_id=video.id, generation=video.generation
            )
        ]
    for scene in found:
        if not (scene.description and scene.keyframes):
            continue
        path = directory / f"{scene.id}.jpg"
        try:
            path.write_bytes(storage.get(scene.keyframes[0].image_key))
        except FileNotFoundError:
            continue
        pairs.append(Pair(path, scene.description, group=str(scene.video_id)))
    if len(pairs) < LEAST_PAIRS:
        raise InvalidInput(
            f"The owner has {len(pairs)} described scenes; training needs {LEAST_PAIRS} at least."
        )
    return pairs


def split(pairs: Sequence[Pair], *, share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pairs; a group is never in both, and neither part is empty."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        groups[pair.group or f"alone-{number}"].append(pair)
    order = list(groups.values())
    if len(order) == 1:
        order = [[pair] for pair in pairs]
    random.Random(seed).shuffle(order)
    training: list[Pair] = []
    validation: list[Pair] = []
    for group in order:
        (validation if len(validation) < share * len(pairs) else training).extend(group)
    if not training:
        training, validation = validation[::2], validation[1::2]
    return training, validation
