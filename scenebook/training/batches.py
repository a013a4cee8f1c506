"""Pairs as batches of tensors, the pairs of a group side by side."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from scenebook.encoders.inference import cores
from scenebook.encoders.pictures import UndecodablePicture, decode
from scenebook.errors import InvalidInput
from scenebook.training.pairs import Pair

# A larger group is dealt out in parts: a batch needs strangers too.
LARGEST_GROUP = 8
MAX_PIXELS = 40_000_000


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Decoded, preprocessed pictures with the tokens of their captions."""

    def __init__(
        self, pairs: Sequence[Pair], tokens: Tensor, transform: Callable[[Image.Image], Tensor]
    ) -> None:
        self._pairs, self._tokens, self._transform = pairs, tokens, transform

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        path = self._pairs[place].image
        try:
            picture = decode(path.read_bytes(), max_pixels=MAX_PIXELS)
        except (OSError, UndecodablePicture) as error:
            raise InvalidInput(f"{path}: {error}") from None
        return self._transform(picture), self._tokens[place]


class GroupedBatches(Sampler[list[int]]):
    """Full batches without end, in which the pairs of a group stay together."""

    def __init__(self, pairs: Sequence[Pair], *, batch_size: int, seed: int) -> None:
        self._size = min(batch_size, len(pairs))
        self._rng = random.Random(seed)
        groups: dict[str, list[int]] = defaultdict(list)
        for place, pair in enumerate(pairs):
            groups[pair.group or f"alone-{place}"].append(place)
        self._groups = list(groups.values())

    def __iter__(self) -> Iterator[list[int]]:
        places = chain.from_iterable(self._epoch() for _ in iter(int, 1))
        while True:
            # A picture twice in one batch would be its own false negative.
            batch: dict[int, None] = {}
            while len(batch) < self._size:
                batch[next(places)] = None
            yield list(batch)

    def _epoch(self) -> list[int]:
        parts = []
        for group in self._groups:
            self._rng.shuffle(group)
            parts += [group[at : at + LARGEST_GROUP] for at in range(0, len(group), LARGEST_GROUP)]
        self._rng.shuffle(parts)
        return [place for part in parts for place in part]


def training_batches(pictures: Pictures, pairs: Sequence[Pair], *, size: int, seed: int) -> Any:
    """Batches without end; where there are cores to spare, processes decode ahead."""
    batches = GroupedBatches(pairs, batch_size=size, seed=seed)
    # On two cores a decoding process makes torch's threads wait for one another: 1.0 s a step
    # instead of 0.7 for the shipped checkpoint.
    return DataLoader(pictures, batch_sampler=batches, num_workers=max(0, cores() - 2))


def validation_batches(pictures: Pictures, *, size: int) -> Any:
    """All pairs once, in order."""
    return DataLoader(pictures, batch_size=size)
