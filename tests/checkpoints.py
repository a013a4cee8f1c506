"""Small model checkpoints of real architectures, made on the spot: `python -m tests.checkpoints`.

They are made in a process of their own, so that the tests' process stays free of torch.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# What the scripted Whisper hears in every window of speech, from 0.0 to 2.0 seconds.
SCRIPT = (" ask", " not", " what", " your", " country")
# What the small cross-encoder is asked.
RANKED_FOR = "a red car at night"
RANKED = (
    "a car",
    "red night",
    "the sea by day",
    "a red car at sea",
    "night",
    "by day a night train",
    "train at sea by night",
    "red red red",
    "the day",
    "a car at night by the sea",
)
CLIP_DIMENSIONS = 32
CLIP_INPUT = 64
VOCABULARY = 49_408  # of open_clip's own tokenizer


def checkpoints(session: pytest.TempPathFactory) -> Path:
    """A directory with checkpoints and what was measured of models, made once a session."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    parent = session.getbasetemp().parent if parallel else session.getbasetemp()
    target = parent / "checkpoints"
    with (parent / "checkpoints.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "activations.json").exists():
            subprocess.run(
                [sys.executable, "-m", "tests.checkpoints", str(target)],
                check=True,
                timeout=150,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
    return target


def clip_configuration(*, quick_gelu: bool = False) -> dict[str, Any]:
    """A CLIP of two towers with one layer each."""
    return {
        "embed_dim": CLIP_DIMENSIONS,
        "quick_gelu": quick_gelu,
        "vision_cfg": {
            "image_size": CLIP_INPUT, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16
        },
        "text_cfg": {
            "context_length": 16, "vocab_size": VOCABULARY, "width": 32, "heads": 1, "layers": 1
        },
    }  # fmt: skip


def make_clip(directory: Path) -> None:
    """A directory that open_clip loads as `local-dir:`, with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.CLIP(**clip_configuration())
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, directory / "open_clip_model.safetensors")
    (directory / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": clip_configuration(), "preprocess_cfg": {}})
    )


def resolve_activations(directory: Path, weights: Path) -> dict[str, Any]:
    """What ClipModel makes of weights trained with and without QuickGELU, and what it refuses.

    The architecture and its weights are entered in open_clip's own tables, as a release of
    open_clip does it; nothing is downloaded.
    """
    import open_clip
    from open_clip.pretrained import _PRETRAINED

    from scenebook.encoders.clip import ClipModel, uses_quick_gelu
    from scenebook.errors import ModelUnavailable

    for name, quick_gelu in (("small", False), ("small-quickgelu", True)):
        configuration = directory / f"{name}.json"
        configuration.write_text(json.dumps(clip_configuration(quick_gelu=quick_gelu)))
        open_clip.add_model_config(configuration)
        _PRETRAINED[name] = {
            "quick": {"file": str(weights), "quick_gelu": True},
            "plain": {"file": str(weights), "quick_gelu": False},
        }

    def activation(name: str, pretrained: str) -> str:
        try:
            model = ClipModel(
                model_name=name, pretrained=pretrained, device="cpu", threads=1,
                cache_dir=str(directory), max_image_size=224,
            )  # fmt: skip
        except ModelUnavailable as error:
            return str(error)
        return type(model.model.visual.transformer.resblocks[0].mlp.gelu).__name__

    return {
        "small quick": activation("small", "quick"),
        "small plain": activation("small", "plain"),
        "small-quickgelu plain": activation("small-quickgelu", "plain"),
        "small file": activation("small", str(weights)),
        "small-quickgelu file": activation("small-quickgelu", str(weights)),
        "small unknown": activation("small", "no-such-tag"),
        "table": {
            f"{name} {tag}": uses_quick_gelu(name, tag)
            for name, tag in (
                ("ViT-B-32", "openai"),
                ("ViT-B-16", "openai"),
                ("ViT-L-14", "openai"),
                ("ViT-B-32", "laion2b_s34b_b79k"),
                ("ViT-B-32", "datacomp_xl_s13b_b90k"),
            )
        },
    }


def make_whisper(directory: Path) -> None:
    """A CTranslate2 Whisper that says SCRIPT over whatever it hears.

    Its decoder layers add nothing, so what comes out at a position depends on the position's
    embedding alone: that is set to the token of the script.
    """
    import torch
    from ctranslate2.converters.transformers import WhisperLoader
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

    tokenizer = _whisper_tokenizer()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokenizer.get_vocab_size(), d_model=64, num_mel_bins=80,
            encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=64,
            decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=64,
            decoder_start_token_id=tokenizer.token_to_id("<|startoftranscript|>"),
            eos_token_id=tokenizer.token_to_id("<|endoftext|>"), pad_token_id=0, bos_token_id=0,
            suppress_tokens=[], begin_suppress_tokens=[],
        )
    )  # fmt: skip
    words = [word.replace(" ", "Ġ") for word in SCRIPT]
    # A vocabulary this small is an English-only model's: no language, no task before the words.
    said = ["<|0.00|>", *words, "<|2.00|>", "<|endoftext|>"]
    with torch.no_grad():
        for name, weight in model.model.decoder.layers.named_parameters():
            if "layer_norm" not in name:
                weight.zero_()
        tokens = torch.randn(tokenizer.get_vocab_size(), 64)
        model.model.decoder.embed_tokens.weight.copy_(tokens)
        model.proj_out.weight.copy_(tokens)
        for position, token in enumerate(said):
            row = tokens[tokenizer.token_to_id(token)]
            model.model.decoder.embed_positions.weight[position] = 100 * row
    loader = WhisperLoader()
    spec = loader(model.eval(), wrapped)
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(str(directory))
    tokenizer.save(str(directory / "tokenizer.json"))


def _whisper_tokenizer() -> Any:
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    # faster-whisper forbids the first token of " -", " '" and of " ♪": without merges of their own
    # that would be the blank, which the script needs.
    for word in (*SCRIPT, " -", " '", " â"):
        letters = word.replace(" ", "Ġ")
        merges += [(letters[:end], letters[end]) for end in range(1, len(letters))]
    merged = dict.fromkeys("".join(pair) for pair in merges)
    vocabulary = {token: place for place, token in enumerate([*alphabet, *merged])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(dict.fromkeys(merges))))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["endoftext", "startoftranscript", *_LANGUAGE_CODES, "translate", "transcribe"]
    names += ["startoflm", "startofprev", "nospeech", "notimestamps"]
    names += [f"{step * 0.02:.2f}" for step in range(1501)]
    tokenizer.add_special_tokens([f"<|{name}|>" for name in names])
    return tokenizer


def make_reranker(directory: Path) -> None:
    """A BERT of one layer with one score a pair, random weights, and what it says of RANKED."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = sorted({word for text in (RANKED_FOR, *RANKED) for word in text.split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("\n".join([*special, *words]))
    tokenizer = BertTokenizerFast(str(vocabulary), model_max_length=64)
    torch.manual_seed(0)
    configuration = BertConfig(
        vocab_size=len(special) + len(words), hidden_size=32, intermediate_size=64, num_labels=1,
        num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=64,
        initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(configuration).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    model = CrossEncoder(str(directory), device="cpu")
    scores = model.predict([(RANKED_FOR, text) for text in RANKED])
    (directory / "said.json").write_text(json.dumps([float(score) for score in scores]))


def main(target: Path) -> None:
    """Make everything below target."""
    from scenebook.encoders.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    makers = (("clip", make_clip), ("whisper", make_whisper), ("reranker", make_reranker))
    for kind, make in makers:
        (target / kind).mkdir(parents=True, exist_ok=True)
        make(target / kind)
    found = resolve_activations(target, target / "clip" / "open_clip_model.safetensors")
    (target / "activations.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
