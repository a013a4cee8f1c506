"""The torch models as an export needs them: graphs and vocabulary written, the gate answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scenebook.encoders import gate, onnx_clip, onnx_text
from scenebook.encoders.clip import ClipModel
from scenebook.encoders.exporting import Original
from scenebook.encoders.exports import Export
from scenebook.encoders.onnx_clip import OnnxClip
from scenebook.encoders.onnx_text import OnnxText
from scenebook.encoders.pictures import decode
from scenebook.encoders.text import TextModel, load_text_model
from scenebook.encoders.tokens import vocabulary_of
from scenebook.errors import ExportRefused, ModelUnavailable

Step = Callable[[str], None]

MAX_PIXELS = 10_000_000
# Batches as the inference child has them, which is what an export must stand up to.
BATCH = 8


def clip_original(options: dict[str, Any], directory: Path, step: Step) -> Original:
    """CLIP by the options of its load, its graphs and vocabulary in the directory."""
    known = {name: value for name, value in options.items() if name not in LOADERS_OWN}
    model = ClipModel(**known | {"device": "cpu"})
    _require_onnx()
    from scenebook.encoders import tracing

    step("Writing both towers of CLIP as ONNX")
    inner, tokenizer = model.model, model.tokenizer
    size = model.preprocessing
    text = tracing.TextTower(inner)
    lengths = {0: "texts", 1: "tokens"} if text.trims else {0: "texts"}
    with tracing.plain_attention(inner):
        image, example = tracing.ImageTower(inner), tracing.pixels(size.height, size.width)
        tracing.trace(image, example, directory / onnx_clip.IMAGE, dynamic={0: "pictures"})
        example = tracing.tokens(tokenizer.context_length)
        tracing.trace(text, example, directory / onnx_clip.TEXT, dynamic=lengths)
    (directory / onnx_clip.VOCABULARY).write_text(vocabulary_of(tokenizer), encoding="utf-8")

    def answers(asked: Any) -> gate.Encoded:
        items = gate.gate_items()
        pictures = [decode(data, max_pixels=MAX_PIXELS) for data, _ in items]
        batches = range(0, len(items), BATCH)
        return gate.Encoded(
            queries=asked.encode_words([text for _, text in items]),
            items=np.concatenate([asked.encode(pictures[at : at + BATCH]) for at in batches]),
            wanted=range(len(items)),
        )

    def answers_of(export: Export) -> gate.Encoded:
        names = ("max_image_size", "fit", "threads")
        loading = {name: options[name] for name in names}
        return answers(OnnxClip(export, device="cpu", calibration=None, **loading))

    return Original(
        loaded=model.loaded,
        graphs=(onnx_clip.IMAGE, onnx_clip.TEXT),
        files=(onnx_clip.VOCABULARY,),
        details={
            "preprocessing": model.configuration,
            "context_length": int(tokenizer.context_length),
            "clean": _cleaning(tokenizer),
            "trims": text.trims,
            "calibration": {"logit_scale": model.loaded.logit_scale},
        },
        answers=lambda: answers(model),
        answers_of=answers_of,
    )


def text_original(options: dict[str, Any], directory: Path, step: Step) -> Original:
    """The text model by the options of its load, its graph and vocabulary in the directory."""
    model = load_text_model(name=options["name"], threads=options["threads"])
    pooling = _pooling(model)
    _require_onnx()
    from scenebook.encoders import tracing

    step("Writing the text model as ONNX")
    tracing.trace(
        tracing.SentenceModel(model.model[0].auto_model, pooling=pooling),
        tracing.tokens(TRACED_TOKENS) % 100,
        directory / onnx_text.SENTENCES,
        dynamic={0: "texts", 1: "tokens"},
    )
    backend = model.tokenizer.backend_tokenizer
    (directory / onnx_text.VOCABULARY).write_text(backend.to_str(), encoding="utf-8")

    def answers(asked: Any) -> gate.Encoded:
        texts, wanted = gate.gate_sentences()
        vectors = asked.encode(texts)
        return gate.Encoded(queries=vectors, items=vectors, wanted=wanted)

    return Original(
        loaded=model.loaded,
        graphs=(onnx_text.SENTENCES,),
        files=(onnx_text.VOCABULARY,),
        details={"window": model.window, "max_tokens": model.max_tokens, "pooling": pooling},
        answers=lambda: answers(model),
        answers_of=lambda export: answers(OnnxText(export, threads=options["threads"])),
    )


LOADERS_OWN = ("runtime", "exports_dir")
TRACED_TOKENS = 12
ORIGINALS: Mapping[str, Callable[[dict[str, Any], Path, Step], Original]] = {
    "clip": clip_original,
    "text": text_original,
}


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401 - torch's exporter needs it and says so in many words
    except ImportError as error:
        raise ModelUnavailable(
            f"Exporting needs the packages of the extra 'export' ({error}): pip install "
            "'scenebook[export]'."
        ) from error


def _cleaning(tokenizer: Any) -> str:
    """The name of open_clip's cleaning that this tokenizer does."""
    from open_clip import tokenizer as own

    known = {own._clean_lower: "lower", own._clean_whitespace: "whitespace"}
    simple = type(tokenizer) is own.SimpleTokenizer and tokenizer.reduction_fn is None
    if not simple or tokenizer.clean_fn not in known:
        raise ExportRefused(
            "This CLIP's tokenizer is not open_clip's own byte-pair encoding; only that can be "
            "exported. The model works in torch."
        )
    return known[tokenizer.clean_fn]


def _pooling(model: TextModel) -> str:
    """How the model makes one vector of its tokens': "mean" or "cls"."""
    modules = list(model.model)
    names = [type(module).__name__ for module in modules]
    mode = ""
    if names in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        pooling = modules[1]
        mode = getattr(pooling, "pooling_mode", "") or pooling.get_pooling_mode_str()
    prompt = model.model.prompts.get(model.model.default_prompt_name or "", "")
    plain = not getattr(modules[0], "do_lower_case", False) and not prompt
    if mode not in ("mean", "cls") or not plain or not model.tokenizer.is_fast:
        raise ExportRefused(
            f"A text model of {' + '.join(names)} with pooling {mode or 'unknown'!r} cannot be "
            "exported: only Transformer + Pooling (mean or cls) + Normalize can, with a fast "
            "tokenizer and without a prompt of its own. The model works in torch."
        )
    return str(mode)
