"""Scenebook's preprocessing and tokens beside open_clip's own: `python -m tests.compare_...`.

It runs in a process of its own, so that the tests' process stays free of torch.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from scenebook.encoders.gate import gate_items, gate_sentences
from scenebook.encoders.preprocessing import Preprocessing
from scenebook.encoders.tokens import ClipTokenizer, vocabulary_of
from scenebook.encoders.torchvision_operators import declare_missing_operators

SIZES = ((64, 64), (1, 1), (65, 64), (320, 180), (181, 321), (1920, 1080), (100, 7), (30, 40))
CONFIGURATIONS = (
    {"size": 64},
    {"size": 224},
    {"size": (64, 64), "interpolation": "bilinear", "mean": (0.5, 0.5, 0.5)},
    {"size": 64, "resize_mode": "squash"},
    {"size": 64, "resize_mode": "longest", "fill_color": 127},
    {"size": (48, 80)},
    {"size": (80, 48), "resize_mode": "longest"},
)
TEXTS = (
    "", " ", "a photo of a cat", "A  Photo\tof\na CAT!", "don't we'll I'm you've he'd it's they're",
    "IT'S SHOUTED", "3 dogs, 42 cats & 1000 birds", "naïve café Zürich", "Ærøskøbing straße",
    "İstanbul",
    "日本語の字幕", "Привет, мир", "مرحبا بالعالم", "नमस्ते", "🙂 emoji 👩\u200d👩\u200d👧 joined",
    "&lt;b&gt;bold&lt;/b&gt;", "&amp;amp; twice", "schÃ¶n broken", "“curly” ‘quotes’ — dashes…",
    "tab\x00null\x07bell", "ﬁ ligature ½ ²", "<start_of_text> inside <end_of_text>",
    "<START_OF_TEXT>", "https://example.org/a?b=c#d", "a_b-c.d/e\\f", "x" * 300, "word " * 200,
    "e\u0301 combining", "ſ long s 'ſ", "\u200bzero\u200dwidth", "１２３ full width", "㍿ ⅷ ①",
    "don’t", "''' '' '", "$5.00 + 20% = €6", "ÀÉÎÕÜ", "a" + "\u0301" * 40,
)  # fmt: skip


def preprocessing_error() -> float:
    """The largest difference of any value of any picture under any configuration."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    rng = np.random.default_rng(0)
    errors = []
    for configuration in CONFIGURATIONS:
        known = vars(PreprocessCfg(**configuration))
        theirs = image_transform_v2(PreprocessCfg(**known), is_train=False)
        ours = Preprocessing.of(known, fit="crop", max_image_size=4000)
        for width, height in SIZES:
            noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            picture = Image.fromarray(noise)
            difference = ours.batch([picture])[0] - theirs(picture).numpy()
            errors.append(float(np.abs(difference).max()))
    return max(errors)


def different_tokens() -> list[str]:
    """Texts whose tokens differ, for each cleaning and two lengths of context."""
    from open_clip.tokenizer import SimpleTokenizer

    texts = [*TEXTS, *gate_sentences()[0], *(text for _, text in gate_items())]
    texts += [f"{text} {other}" for text, other in zip(TEXTS, reversed(TEXTS), strict=True)]
    letters = np.random.default_rng(1).integers(32, 0x2FFF, (200, 12))
    texts += ["".join(map(chr, row)) for row in letters]
    different = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        for clean, length in (("lower", 77), ("whitespace", 77), ("lower", 16)):
            theirs = SimpleTokenizer(context_length=length, clean=clean)
            path.write_text(vocabulary_of(theirs), encoding="utf-8")
            ours = ClipTokenizer(path, context_length=length, clean=clean)
            found = theirs(texts).numpy()
            different += [
                text
                for text, expected in zip(texts, found, strict=True)
                if not np.array_equal(ours.padded(text), expected)
            ]
    return different


if __name__ == "__main__":
    declare_missing_operators()
    json.dump({"error": preprocessing_error(), "texts": different_tokens()}, sys.stdout)
