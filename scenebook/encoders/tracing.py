"""Torch models to ONNX graphs: CLIP's towers and a sentence model, from one input to vectors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenebook.errors import ExportRefused

OPSET = 17
EXAMPLES = 2
START_TOKEN = 49_406  # of open_clip's vocabulary


class ImageTower(nn.Module):
    """(n, 3, height, width) to (n, dimensions)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors of pictures."""
        vectors: torch.Tensor = self.model.encode_image(pixels, normalize=True)
        return vectors


class TextTower(nn.Module):
    """(n, tokens) to (n, dimensions); any number of tokens up to the context if it `trims`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        # No token sees a later one, and the vector is read at the end of the text: without what
        # follows it, the answer is the same.
        self.trims = (
            getattr(model, "attn_mask", None) is not None
            and getattr(model, "positional_embedding", None) is not None
            and getattr(model, "text_pool_type", "") in ("argmax", "eos")
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors of texts."""
        if not self.trims:
            vectors: torch.Tensor = self.model.encode_text(tokens, normalize=True)
            return vectors
        return nn.functional.normalize(self._seen(tokens), dim=-1)

    def _seen(self, tokens: torch.Tensor) -> torch.Tensor:
        """open_clip's encode_text, for as many tokens as there are."""
        from open_clip.transformer import text_global_pool

        model, count = self.model, tokens.shape[1]
        hidden = model.token_embedding(tokens) + model.positional_embedding[:count]
        hidden = model.transformer(hidden, attn_mask=model.attn_mask[:count, :count])
        end = getattr(model, "text_eos_id", None)
        pooled: torch.Tensor = text_global_pool(
            model.ln_final(hidden), tokens, model.text_pool_type, eos_token_id=end
        )
        projection = model.text_projection
        if projection is None:
            return pooled
        projected: torch.Tensor
        projected = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
        return projected


class SelfAttention(nn.Module):
    """nn.MultiheadAttention over one sequence, in operators that ONNX has for any length."""

    def __init__(self, inner: nn.MultiheadAttention) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, query: torch.Tensor, *_: Any, attn_mask: torch.Tensor | None = None, **__: Any
    ) -> tuple[torch.Tensor, None]:
        """(n, tokens, width) of query, which is key and value too; None for the weights."""
        inner = self.inner
        mixed = nn.functional.linear(query, inner.in_proj_weight, inner.in_proj_bias)
        shape = (*query.shape[:2], 3, inner.num_heads, inner.head_dim)
        asked, known, told = mixed.reshape(shape).permute(2, 0, 3, 1, 4).unbind()
        seen = nn.functional.scaled_dot_product_attention(asked, known, told, attn_mask=attn_mask)
        answer: torch.Tensor = inner.out_proj(seen.transpose(1, 2).flatten(2))
        return answer, None


@contextmanager
def plain_attention(model: nn.Module) -> Iterator[None]:
    """While it lasts, the blocks of the model's transformers attend through SelfAttention."""
    blocks = [
        module
        for module in model.modules()
        if type(module).__name__ == "ResidualAttentionBlock"
        and isinstance(module.attn, nn.MultiheadAttention)
        and module.attn.batch_first
        and module.attn.in_proj_weight is not None
        and not hasattr(module, "ln_1_kv")
    ]
    kept: list[Any] = [block.attn for block in blocks]
    try:
        for block, inner in zip(blocks, kept, strict=True):
            block.attn = SelfAttention(inner)
        yield
    finally:
        for block, inner in zip(blocks, kept, strict=True):
            block.attn = inner


class SentenceModel(nn.Module):
    """(n, tokens) to (n, dimensions); no token is padding."""

    def __init__(self, transformer: Any, *, pooling: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors of texts."""
        hidden = self.transformer(input_ids=tokens).last_hidden_state
        pooled = hidden[:, 0] if self.pooling == "cls" else hidden.mean(dim=1)
        return nn.functional.normalize(pooled, dim=-1)


def trace(module: nn.Module, example: torch.Tensor, path: Path, *, dynamic: dict[int, str]) -> None:
    """Write the module as ONNX; `dynamic` names the dimensions of its input that vary.

    Raises ExportRefused if it cannot be traced.
    """
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operator that ONNX does not have
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                dynamo=False,  # three times as quick, and its graphs quantise as well
                opset_version=OPSET,
                input_names=["input"],
                output_names=["vectors"],
                dynamic_axes={"input": dynamic, "vectors": {0: dynamic[0]}},
            )
    except Exception as error:  # the door to torch's exporter
        reason = str(error).partition("\n")[0][:200]
        raise ExportRefused(
            f"{path.stem} cannot be written as ONNX ({type(error).__name__}: {reason})."
        ) from error


def pixels(height: int, width: int) -> torch.Tensor:
    """An input to trace an image tower with."""
    return torch.zeros(EXAMPLES, 3, height, width)


def tokens(count: int) -> torch.Tensor:
    """An input to trace a text tower with: texts of different lengths that end."""
    rows = torch.arange(1, count + 1).repeat(EXAMPLES, 1)
    rows[:, 0], rows[:, -1] = START_TOKEN, START_TOKEN + 1
    return rows
