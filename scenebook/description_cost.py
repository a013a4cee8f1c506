"""Which scenes paid descriptions are spent on, and which scenes share one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from scenebook.descriptions import DescribedScene
from scenebook.model import ChannelStatus, Keyframe, Scene

# Metadata of a scene's channels: calls that were answered with nothing that can be used.
UNUSABLE_ANSWERS = "unusable_answers"
# A perceptual hash (worker/media/likeness.py): a difference hash, then bytes of mean colours.
DIFFERENCE_DIGITS = 16
# Levels of 255 by which no part of a near-duplicate may differ in any colour.
COLOUR_LEVELS = 12


def words_of(scene: Scene) -> str:
    """What is said in a scene, on one line; empty for a silent one."""
    return " ".join((scene.transcript or "").split())


def too_talky(scene: Scene, talky_ms: int) -> str | None:
    """Why a scene is not worth a call, if so: it is short, and its words say what it is about.

    A silent scene has nothing else to be found by, so it is never left out.
    """
    lasts_ms = scene.end_ms - scene.start_ms
    if lasts_ms >= talky_ms or not words_of(scene):
        return None
    return (
        f"Somebody speaks in this scene of {lasts_ms / 1000:g} s; "
        f"DESCRIPTION_TALKY_MS is {talky_ms}."
    )


def unusable_answers(scene: Scene) -> int:
    """How many calls for a scene were answered with nothing that can be used."""
    counts = (int(state.metadata.get(UNUSABLE_ANSWERS, 0)) for state in scene.channels)
    return max(counts, default=0)


def by_worth(scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes in the order in which calls are spent: silent ones first, then longer ones.

    Scenes that got unusable answers come last: the others' answers are in the cache and must find
    their part of the budget, or a job that runs again would pay for more than it may.
    """
    return sorted(
        scenes,
        key=lambda scene: (
            unusable_answers(scene) > 0,
            bool(words_of(scene)),
            scene.start_ms - scene.end_ms,
            scene.scene_index,
        ),
    )


def alike(one: str, other: str, *, max_bits: int) -> bool:
    """Whether two perceptual hashes are of nearly the same picture.

    At most max_bits of the 64 brightness differences, and no colour by more than COLOUR_LEVELS.
    """
    differences = int(one[:DIFFERENCE_DIGITS], 16) ^ int(other[:DIFFERENCE_DIGITS], 16)
    if differences.bit_count() > max_bits:
        return False
    colours = (bytes.fromhex(text[DIFFERENCE_DIGITS:]) for text in (one, other))
    return all(abs(a - b) <= COLOUR_LEVELS for a, b in zip(*colours, strict=True))


class NearDuplicates:
    """Scenes of one video that were described, for those that look and say nearly the same.

    max_bits: see `alike`; -1 shares nothing. Words must be equal, since the summary is made of
    them. Only a scene that had a call of its own may be shared, so that likeness does not drift.
    """

    def __init__(self, max_bits: int) -> None:
        self._max_bits = max_bits
        self._by_words: dict[str, list[tuple[str, Scene, DescribedScene]]] = defaultdict(list)

    def add(self, scene: Scene, outcome: DescribedScene) -> None:
        """Offer what a call gave for a scene, if it speaks of the best frame."""
        of_best = outcome.status is ChannelStatus.OK and outcome.frame == 0
        # Nothing is to be seen in any frame; if there is one alone, it is the best one.
        nothing = outcome.status is ChannelStatus.EMPTY and len(scene.keyframes) == 1
        if (of_best or nothing) and (looks := _looks(scene)) is not None:
            self._by_words[words_of(scene)].append((looks, scene, outcome))

    def answer_for(self, scene: Scene) -> DescribedScene | None:
        """The outcome of the first scene that is nearly the same, saying which it is."""
        looks = _looks(scene)
        if looks is None or self._max_bits < 0:
            return None
        for other_looks, other, outcome in self._by_words[words_of(scene)]:
            if outcome.status is ChannelStatus.EMPTY and len(scene.keyframes) > 1:
                continue  # its other frames may show something
            if alike(looks, other_looks, max_bits=self._max_bits):
                return replace(outcome, same_as_scene=other.scene_index)
        return None


def _looks(scene: Scene) -> str | None:
    best: Keyframe | None = next((one for one in scene.keyframes if one.rank == 0), None)
    return None if best is None else best.perceptual_hash
