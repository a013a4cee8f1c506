"""Train or fine-tune an open_clip model on pairs: contrastive loss, AdamW, a cosine schedule."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from scenebook.encoders.checkpoints import CONFIGURATION, clip_source
from scenebook.encoders.clip import create_model, uses_quick_gelu
from scenebook.encoders.inference import cores
from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.errors import InvalidInput
from scenebook.training.batches import Pictures, training_batches, validation_batches
from scenebook.training.pairs import Pair, split
from scenebook.training.recall import Recall, recall_at_1

# CLIP's own: Radford et al., 2021, section 2.5 and table 19.
BETAS = (0.9, 0.98)
LARGEST_SCALE = 100.0
WEIGHT_DECAY = 0.1
LARGEST_GRADIENT = 1.0
WARM_UP_SHARE = 0.04
LEAST_RATE_SHARE = 0.01
# Recall among more candidates is lower: a fixed number makes runs comparable.
VALIDATION_PAIRS = 500
BATCH = 64

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. learning_rate is the peak; threads None takes all cores.

    precision auto is bf16 where the processor computes it, and fp32 elsewhere, which is slower.
    """

    steps: int
    batch_size: int = 256
    learning_rate: float = 1e-5
    validation_share: float = 0.05
    seed: int = 0
    threads: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


@dataclass(frozen=True, slots=True)
class Step:
    """Where training stands."""

    number: int
    of: int
    loss: float


@dataclass(slots=True)
class Trainee:
    """A model with what it needs to be trained and saved as a checkpoint."""

    model: Any
    tokenizer: Any
    transform: Any
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    from_scratch: bool = False

    @classmethod
    def load(
        cls, model_name: str, pretrained: str, *, from_scratch: bool, cache_dir: str
    ) -> Trainee:
        """The model that CLIP_MODEL_NAME and CLIP_PRETRAINED name, or its untrained architecture.

        Raises ModelUnavailable with what to do.
        """
        declare_missing_operators()
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2

        source = clip_source(model_name, pretrained)
        model = create_model(source, device="cpu", cache_dir=cache_dir, weights=not from_scratch)
        configuration = Path(source.pretrained) / CONFIGURATION
        if source.name.startswith("local-dir:"):
            model_cfg = json.loads(configuration.read_text(encoding="utf-8"))["model_cfg"]
        else:
            model_cfg = dict(open_clip.get_model_config(source.name))
            model_cfg["quick_gelu"] = model_cfg.get("quick_gelu", False) or uses_quick_gelu(
                source.name, source.pretrained
            )
        preprocess_cfg = dict(model.visual.preprocess_cfg)
        return cls(
            model=model,
            tokenizer=open_clip.get_tokenizer(source.name),
            transform=image_transform_v2(PreprocessCfg(**preprocess_cfg), is_train=False),
            model_cfg=model_cfg,
            preprocess_cfg=preprocess_cfg,
            from_scratch=from_scratch,
        )

    def pictures(self, pairs: Sequence[Pair]) -> Pictures:
        """The pairs as this model sees them."""
        tokens = self.tokenizer([pair.caption for pair in pairs])
        return Pictures(pairs, tokens, self.transform)

    def image_vectors(self, pairs: Sequence[Pair], *, device: str = "cpu") -> Vectors:
        """(n, dimensions) vectors of the pairs' pictures, of norm 1."""
        self.model.eval()
        with torch.inference_mode():
            return _numpy(
                [
                    self.model.encode_image(pictures.to(device), normalize=True)
                    for pictures, _ in validation_batches(self.pictures(pairs), size=BATCH)
                ]
            )

    def text_vectors(self, texts: Sequence[str], *, device: str = "cpu") -> Vectors:
        """(n, dimensions) vectors of texts, of norm 1."""
        self.model.eval()
        with torch.inference_mode():
            return _numpy(
                [
                    self.model.encode_text(
                        self.tokenizer(list(texts[at : at + BATCH])).to(device), normalize=True
                    )
                    for at in range(0, len(texts), BATCH)
                ]
            )

    def recall(self, pairs: Sequence[Pair], *, device: str = "cpu") -> Recall:
        """Recall@1 among these pairs."""
        texts = self.text_vectors([pair.caption for pair in pairs], device=device)
        return recall_at_1(self.image_vectors(pairs, device=device), texts)


def _numpy(parts: list[torch.Tensor]) -> Vectors:
    return np.asarray(torch.cat(parts).float().cpu().numpy(), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Trained:
    """Recall before and after, on up to 500 of the pairs that were held out."""

    before: Recall
    after: Recall
    held_out: Sequence[Pair]


def train(
    trainee: Trainee,
    pairs: Sequence[Pair],
    recipe: Recipe,
    *,
    report: Callable[[Step], None] = lambda step: None,
) -> Trained:
    """Train in place. Raises InvalidInput naming a picture that cannot be decoded."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads or cores())
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("There is no CUDA device here. Leave --device out to train on the CPU.")
    training, held_out = split(pairs, share=recipe.validation_share, seed=recipe.seed)
    validation = held_out[:VALIDATION_PAIRS]
    trainee.model.to(recipe.device)
    before = trainee.recall(validation, device=recipe.device)
    _train(trainee, training, recipe, report)
    if trainee.from_scratch:
        _forget_unused_tokens(trainee.model, trainee.tokenizer([one.caption for one in training]))
    _round_to_half(trainee.model)
    after = trainee.recall(validation, device=recipe.device)
    trainee.model.to("cpu")
    return Trained(before, after, held_out)


def _train(
    trainee: Trainee, training: Sequence[Pair], recipe: Recipe, report: Callable[[Step], None]
) -> None:
    import open_clip

    model, device, bf16 = trainee.model.train(), recipe.device, _uses_bf16(recipe)
    optimizer = _optimizer(model, recipe)
    loss_of = open_clip.ClipLoss()
    batches = training_batches(
        trainee.pictures(training), training, size=recipe.batch_size, seed=recipe.seed
    )
    for number, (pictures, tokens) in zip(range(recipe.steps), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(number, recipe.steps)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            images = model.encode_image(pictures.to(device), normalize=True)
            texts = model.encode_text(tokens.to(device), normalize=True)
        loss = loss_of(images.float(), texts.float(), model.logit_scale.exp())
        if not torch.isfinite(loss):
            raise InvalidInput("The loss is not finite any more. Try a smaller --learning-rate.")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(LARGEST_SCALE))
        report(Step(number + 1, recipe.steps, float(loss.detach())))


def _uses_bf16(recipe: Recipe) -> bool:
    if recipe.precision != "auto" or recipe.device == "cuda":
        return recipe.precision != "fp32"
    processor = Path("/proc/cpuinfo")
    known = processor.read_text() if processor.is_file() else ""
    return "avx512_bf16" in known or "amx_bf16" in known


def schedule(step: int, steps: int) -> float:
    """The share of the peak learning rate: a linear warm-up, then half a cosine."""
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return LEAST_RATE_SHARE + (1 - LEAST_RATE_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; gains, biases, embeddings and the logit scale do not decay."""
    decayed: list[Any] = []
    others: list[Any] = []
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim >= 2 and "embedding" not in name
        (decayed if matrix else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=BETAS)


def _forget_unused_tokens(model: Any, used: torch.Tensor) -> None:
    """A word that no caption had shall mean nothing, instead of what chance made of it."""
    # A text tower of another library keeps its table elsewhere, and keeps what is in it.
    table = getattr(getattr(model, "text", model), "token_embedding", None)
    if table is None:
        return
    unused = torch.ones(table.num_embeddings, dtype=torch.bool)
    unused[torch.unique(used)] = False
    with torch.no_grad():
        table.weight[unused.to(table.weight.device)] = 0.0


def _round_to_half(model: Any) -> None:
    """What is measured is what is stored: weights in half precision."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half())
