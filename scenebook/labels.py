"""Labels in words: the prompts that ask for one, which labels mean the same, and a default list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

# What is asked for each label; the mean of the prompts' vectors stands for the label.
TEMPLATES = ("a photo of {}", "{}", "a picture of {}", "a frame with {}")
# For the long list of everyday things: a prompt costs a large model 50 ms on 2 cores.
ONE_TEMPLATE = TEMPLATES[:1]

ARTICLES = frozenset({"a", "an", "the"})
# A label that begins with one of these is a whole phrase, and takes no article.
DETERMINERS = ARTICLES | {
    "all", "another", "any", "both", "each", "every", "few", "her", "his", "its", "many", "more",
    "most", "my", "no", "nothing", "one", "our", "several", "some", "someone", "somebody",
    "something", "their", "these", "this", "those", "two", "three", "four", "five", "six", "seven",
    "eight", "nine", "ten", "your"
}  # fmt: skip
# Things that are not counted.
UNCOUNTED = frozenset({
    "bread", "coffee", "fire", "food", "fog", "furniture", "glassware", "grass", "hail", "hair",
    "ice", "jewellery", "jewelry", "juice", "luggage", "milk", "money", "mud", "music", "rain",
    "rice", "sand", "smoke", "snow", "soup", "tea", "text", "traffic", "water", "wine", "wood",
    "writing"
})  # fmt: skip
IRREGULAR = {"person": "people", "child": "children", "foot": "feet", "tooth": "teeth"} | {
    "mouse": "mice", "goose": "geese", "ox": "oxen", "leaf": "leaves", "loaf": "loaves",
    "shelf": "shelves", "half": "halves", "calf": "calves", "wolf": "wolves", "scarf": "scarves",
}  # fmt: skip
# Written with a vowel and spoken with a consonant, and the other way round.
SPOKEN_CONSONANT = re.compile(r"(eu|one\b|once\b|ubiq|uk|uni[cfoqtv]|us[ae]|uti)")
SPOKEN_VOWEL = re.compile(r"(heir|honest|honou?r|hour|[fhlmnrsx]-)")
SENTENCE = re.compile(r"(?:.*[.!?]|(?:there|it|this|that) (?:is|are) .*)", re.IGNORECASE)

# What is compared with when nobody names alternatives: common things in videos, and ways out.
EVERYDAY = (
    "person", "child", "baby", "face", "hand", "crowd", "athlete", "dog", "cat", "bird", "horse",
    "cow", "sheep", "fish", "insect", "elephant", "bear", "monkey", "snake", "flower", "tree",
    "forest", "grass", "mountain", "river", "lake", "beach", "sea", "desert", "sky", "cloud",
    "sunset", "snow", "fire", "rock", "car", "bus", "truck", "motorcycle", "bicycle", "train",
    "aeroplane", "helicopter", "boat", "road", "bridge", "street", "house", "skyscraper", "church",
    "castle", "shop", "kitchen", "bedroom", "bathroom", "office", "classroom", "stadium", "stage",
    "garden", "table", "chair", "sofa", "bed", "door", "window", "lamp", "clock", "mirror",
    "bottle", "cup", "bowl", "plate", "knife", "fork", "spoon", "cake", "pizza", "sandwich",
    "fruit", "vegetable", "bread", "laptop", "phone", "keyboard", "television", "camera", "book",
    "newspaper", "map", "chart", "drawing", "logo", "sign", "bag", "umbrella", "shoe", "hat",
    "shirt", "dress", "glasses", "toy", "ball", "tool", "machine", "piano", "guitar", "weapon",
    "wine glass", "remote control", "page of text", "something else", "nothing in particular",
)  # fmt: skip


def prompts(label: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """The texts that ask for a label: a thing with its article, in each template.

    A sentence is asked as it is. Underscores, as detectors write them, are spaces.
    """
    text = _plain(label)
    if SENTENCE.fullmatch(text):
        return [text]
    thing = with_article(text)
    return [template.format(thing) for template in templates]


def with_article(thing: str) -> str:
    """The thing with a or an; what is plural, not counted, or has its own article as it is."""
    words = thing.casefold().split()
    if not words or words[0] in DETERMINERS or words[0].isdigit():
        return thing
    last = words[-1]
    plural = last in IRREGULAR.values() or last.endswith("men") or re.search("[^siu]s$", last)
    if plural or last in UNCOUNTED:
        return thing
    vowel = words[0][0] in "aeiou" and not SPOKEN_CONSONANT.match(words[0])
    return f"{'an' if vowel or SPOKEN_VOWEL.match(words[0]) else 'a'} {thing}"


def same(one: str, other: str) -> bool:
    """Whether two labels differ in no more than case, article, punctuation and plural."""
    first, second = _words(one), _words(other)
    return len(first) == len(second) and all(map(_same_word, first, second))


def distinct(labels: Iterable[str]) -> list[str]:
    """The labels without repetitions and blanks, each as it was first written."""
    kept: list[str] = []
    for label in labels:
        if _words(label) and not any(same(label, one) for one in kept):
            kept.append(label)
    return kept


def rivals(label: str, labels: Sequence[str], *, named: bool) -> list[str]:
    """The labels that compete with a label: those that can be true instead of it.

    Labels that a person named compete unless they are the same. From a general list also those are
    left out that say more or less of the same thing: "red circle" is no argument against "circle".
    """
    others = [one for one in distinct(labels) if not same(one, label)]
    if named:
        return others
    words = _words(label)
    return [one for one in others if not _part(words, _words(one))]


def _part(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether all words of the shorter phrase are in the longer one."""
    short, long = sorted((first, second), key=len)
    return all(any(_same_word(word, other) for other in long) for word in short)


def _same_word(one: str, other: str) -> bool:
    return one == other or one in _plurals(other) or other in _plurals(one)


@lru_cache(4096)
def _plurals(word: str) -> tuple[str, ...]:
    if word in IRREGULAR:
        return (IRREGULAR[word],)
    if word.endswith("man"):
        return (word[:-3] + "men",)
    if word.endswith("fe"):
        return (word + "s", word[:-2] + "ves")
    if re.search("[^aeiou]y$", word):
        return (word[:-1] + "ies",)
    if word.endswith("o"):
        return (word + "s", word + "es")
    return (word + "es",) if re.search("(s|x|z|ch|sh)$", word) else (word + "s",)


def _plain(label: str) -> str:
    return " ".join(label.replace("_", " ").split())


@lru_cache(4096)
def _words(label: str) -> tuple[str, ...]:
    words = tuple(re.findall(r"[^\W_]+", label.casefold()))
    return words[1:] if len(words) > 1 and words[0] in ARTICLES else words
