"""Damages files at random, and the same way again for the same numbers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

HEAD_BYTES = 4096
# Boxes of MP4 whose first numbers decide how much is read, allocated or repeated.
BOXES = tuple(
    name.encode()
    for name in (
        *("ftyp", "moov", "mvhd", "trak", "tkhd", "edts", "elst", "mdia", "mdhd", "hdlr", "minf"),
        *("stbl", "stsd", "stts", "ctts", "stss", "stsc", "stsz", "stco", "co64", "avc1", "avcC"),
        *("hvcC", "mp4a", "esds", "mdat", "moof", "traf", "tfhd", "tfdt", "trun", "sidx", "mvex"),
        *("trex", "udta", "meta", "ilst", "free", "pasp", "colr"),
    )
)
# Elements of Matroska: header, info, tracks, clusters, blocks, cues, tags, and sizes of pictures.
ELEMENTS = tuple(
    bytes.fromhex(name)
    for name in (
        *("1a45dfa3", "18538067", "1549a966", "1654ae6b", "1f43b675", "1c53bb6b", "114d9b74"),
        *("1254c367", "1043a770", "2ad7b1", "4489", "ae", "d7", "e0", "b0", "ba", "63a2", "e7"),
        *("a3", "a0", "9b", "bb", "b3"),
    )
)
EXTREMES = (0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Content = bytearray
Mutation = Callable[[Content, bytes, Random], Content]


def mutated(content: bytes, other: bytes, rng: Random) -> tuple[str, bytes]:
    """A damaged copy of a file and what was done to it; `other` is for splices.

    One to three damages, so that some files get past the first check and trip over the second.
    """
    changed = bytearray(content)
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        (name,) = rng.choices(tuple(MUTATIONS), WEIGHTS)
        if len(changed) > 16:
            changed = MUTATIONS[name](changed, other, rng)
            names.append(name)
    return "+".join(names) or "unchanged", bytes(changed)


def _flips(content: Content, _other: bytes, rng: Random) -> Content:
    """Bursts of changed bytes anywhere."""
    for _ in range(rng.choice((1, 5, 40, 200))):
        _burst(content, rng.randrange(len(content)), rng)
    return content


def _head_flips(content: Content, _other: bytes, rng: Random) -> Content:
    """Changed bytes where readers look first."""
    for _ in range(rng.choice((1, 3, 10))):
        _burst(content, rng.randrange(min(HEAD_BYTES, len(content))), rng)
    return content


def _index_flips(content: Content, _other: bytes, rng: Random) -> Content:
    """Changed bytes in the index of an MP4, wherever it lies."""
    first = max(0, content.find(b"moov"))
    size = min(len(content) - first, 16 * HEAD_BYTES)
    for _ in range(rng.choice((1, 3, 10, 40))):
        _burst(content, first + rng.randrange(size), rng)
    return content


def _burst(content: Content, at: int, rng: Random) -> None:
    for place in range(at, min(len(content), at + rng.choice((1, 1, 2, 8)))):
        content[place] = rng.randrange(256) if rng.random() < 0.7 else content[place] ^ 0xFF


def _truncated(content: Content, _other: bytes, rng: Random) -> Content:
    return content[: rng.randrange(16, len(content))]


def _beheaded(content: Content, _other: bytes, rng: Random) -> Content:
    """The beginning is missing, as of a recording that was joined late."""
    return content[rng.randrange(1, max(2, len(content) // 2)) :]


def _spliced(content: Content, other: bytes, rng: Random) -> Content:
    """The head of one file and the tail of another."""
    return content[: rng.randrange(16, len(content))] + other[rng.randrange(max(1, len(other))) :]


def _zeroed(content: Content, _other: bytes, rng: Random) -> Content:
    """Blocks that a disk lost."""
    for _ in range(rng.choice((1, 4))):
        at, size = rng.randrange(len(content)), rng.choice((64, 512, 4096, 65536))
        end = min(len(content), at + size)
        content[at:end] = bytes(end - at)
    return content


def _swapped(content: Content, _other: bytes, rng: Random) -> Content:
    """Two blocks that changed places."""
    size = min(rng.choice((256, 4096, 32768)), len(content) // 3)
    one = rng.randrange(len(content) - 2 * size + 1)
    two = rng.randrange(one + size, len(content) - size + 1)
    first, second = content[one : one + size], content[two : two + size]
    content[one : one + size], content[two : two + size] = second, first
    return content


def _repeated(content: Content, _other: bytes, rng: Random) -> Content:
    """A piece that occurs many times."""
    at = rng.randrange(len(content))
    piece = content[at : at + rng.choice((188, 1024, 16384))]
    return content[:at] + piece * rng.choice((2, 8, 32)) + content[at:]


def _boxes(content: Content, _other: bytes, rng: Random) -> Content:
    """Sizes and counts of MP4's boxes that lie."""
    places = [at for name in BOXES for at in _all(content, name) if at >= 4]
    for at in rng.sample(places, min(len(places), rng.choice((1, 2, 5)))):
        # Before the name its size; after it version and flags, then counts, times and sizes.
        field = rng.choice((at - 4, at + 4, at + 8, at + 12, at + 16, at + 20))
        if field + 4 <= len(content):
            (was,) = struct.unpack_from(">I", content, field)
            new = rng.choice((*EXTREMES, was * 2, was + 1, was ^ 1 << rng.randrange(32)))
            struct.pack_into(">I", content, field, new & 0xFFFFFFFF)
    return content


def _elements(content: Content, _other: bytes, rng: Random) -> Content:
    """Sizes and values of Matroska's elements that lie."""
    head = content[: 16 * HEAD_BYTES]
    places = [at + len(name) for name in ELEMENTS for at in _all(head, name)[:50]]
    for at in rng.sample(places, min(len(places), rng.choice((1, 2, 5)))):
        new = rng.choice((b"\x01" + b"\xff" * 7, b"\xff", b"\x80", b"\x08\xff\xff\xff\xff"))
        content[at : at + len(new)] = new
    return content


def _all(content: Content, piece: bytes) -> list[int]:
    """Every place where the piece begins."""
    places, at = [], content.find(piece)
    while at >= 0:
        places.append(at)
        at = content.find(piece, at + 1)
    return places


MUTATIONS: dict[str, Mutation] = {
    "flips": _flips,
    "head_flips": _head_flips,
    "index_flips": _index_flips,
    "truncated": _truncated,
    "beheaded": _beheaded,
    "spliced": _spliced,
    "zeroed": _zeroed,
    "swapped": _swapped,
    "repeated": _repeated,
    "boxes": _boxes,
    "elements": _elements,
}
# What only breaks the first bytes ends at the first check, and teaches least.
WEIGHTS = [4 if name in ("flips", "index_flips", "zeroed", "swapped") else 1 for name in MUTATIONS]
