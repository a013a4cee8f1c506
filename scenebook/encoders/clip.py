"""CLIP in the inference child: open_clip's image and text towers as one model."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenebook.encoders.pictures import reduce_short_side
from scenebook.encoders.spaces import LoadedModel, identity
from scenebook.encoders.torchvision_operators import declare_missing_operators
from scenebook.errors import ModelUnavailable

log = logging.getLogger(__name__)


def uses_quick_gelu(model_name: str, pretrained: str) -> bool:
    """Whether these weights were trained with QuickGELU, by open_clip's table of weights.

    open_clip 2.30 stopped switching by itself: `ViT-B-32` with `openai` runs plain GELU and gives
    degraded vectors, with no more than a warning. A checkpoint file is in no table: there the
    architecture's own configuration holds (`ViT-B-32` or `ViT-B-32-quickgelu`).
    """
    import open_clip

    configuration: dict[str, Any] = open_clip.get_pretrained_cfg(model_name, pretrained) or {}
    return bool(configuration.get("quick_gelu", False))


class ClipModel:
    """One loaded open_clip model; vectors are float32, one row an input, of norm 1.

    pretrained is a weights tag, a checkpoint file for the architecture model_name, or a directory
    with `open_clip_config.json` and weights, which then names the architecture itself.
    max_image_size bounds the SHORT side of a picture before the model's own transform, never below
    the model's input size. Raises ModelUnavailable with what to do.
    """

    def __init__(
        self,
        *,
        model_name: str,
        pretrained: str,
        device: str,
        cache_dir: str,
        max_image_size: int,
        threads: int,
    ) -> None:
        try:
            declare_missing_operators()
            import open_clip
            import torch
            from open_clip.transform import PreprocessCfg, image_transform_v2
        except ImportError as error:
            raise ModelUnavailable(
                f"CLIP needs the packages of the extra 'clip' ({error}): pip install "
                "'scenebook[clip]', or set CLIP_ENABLED=false."
            ) from error
        self._torch = torch
        torch.set_num_threads(threads)
        self._device = _present(device)
        checkpoint = Path(pretrained)
        name = f"local-dir:{checkpoint}" if checkpoint.is_dir() else model_name
        self._model = _create(name, pretrained, device=self._device, cache_dir=cache_dir)
        self._tokenizer = open_clip.get_tokenizer(name)
        preprocessing: dict[str, Any] = self._model.visual.preprocess_cfg
        self._transform = image_transform_v2(PreprocessCfg(**preprocessing), is_train=False)
        size = preprocessing["size"]
        input_size = min(size) if isinstance(size, (tuple, list)) else int(size)
        self._short_side = max(max_image_size, input_size)
        dimensions, input_s = self._measure(input_size)
        self.loaded = LoadedModel(
            model=checkpoint.name if checkpoint.is_dir() else model_name,
            weights=_weights(name, checkpoint),
            revision=_revision(preprocessing, input_size, self._short_side),
            dimensions=dimensions,
            device=self._device,
            input_s=input_s,
        )

    def encode(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(n, dimensions) image vectors of upright RGB pictures."""
        batch = self._torch.stack(
            [self._transform(reduce_short_side(picture, self._short_side)) for picture in pictures]
        )
        with self._torch.inference_mode():
            vectors = self._model.encode_image(batch.to(self._device), normalize=True)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def encode_words(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of the text tower, comparable with image vectors."""
        with self._torch.inference_mode():
            tokens = self._tokenizer(list(texts)).to(self._device)
            vectors = self._model.encode_text(tokens, normalize=True)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _measure(self, input_size: int) -> tuple[int, float]:
        """Dimensions, and seconds of one picture; the first call, a warm-up, is not counted."""
        grey = Image.new("RGB", (input_size, input_size), (128, 128, 128))
        dimensions = self.encode([grey]).shape[1]
        began = time.perf_counter()
        self.encode([grey])
        return int(dimensions), time.perf_counter() - began


def _present(device: str) -> str:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        log.warning("CLIP_DEVICE=cuda, but torch finds no CUDA device: CLIP runs on the CPU.")
        return "cpu"
    return device


def _weights(name: str, checkpoint: Path) -> str:
    """A tag of open_clip's table as it is; a local checkpoint by its content."""
    if name.startswith("hf-hub:"):
        return "hub"  # the name says which; CLIP_PRETRAINED is not used
    return identity(checkpoint) if checkpoint.exists() else str(checkpoint)


def _create(name: str, pretrained: str, *, device: str, cache_dir: str) -> Any:
    import open_clip

    # `local-dir:` and `hf-hub:` bring their own configuration, and a file is in no table.
    in_table = ":" not in name and not Path(pretrained).is_file()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            model = open_clip.create_model(
                name,
                pretrained=None if ":" in name else pretrained,
                device=device,
                cache_dir=cache_dir,
                force_quick_gelu=in_table and uses_quick_gelu(name, pretrained),
                require_pretrained=True,
            )
    # open_clip, torch, safetensors and the hub raise whatever they like for bad or absent weights.
    except Exception as error:
        raise ModelUnavailable(
            f"CLIP model {name} with weights {pretrained} cannot be loaded: {error}. Check "
            "CLIP_MODEL_NAME and CLIP_PRETRAINED; weights that are not in CLIP_CACHE_DIR are "
            "downloaded, which needs the network."
        ) from error
    return model.eval()


def _revision(preprocessing: dict[str, Any], input_size: int, short_side: int) -> str:
    """Names the preprocessing, as "shortest-224-bicubic-centre-crop"."""
    revision = f"{preprocessing['resize_mode']}-{input_size}-{preprocessing['interpolation']}"
    if preprocessing["resize_mode"] == "shortest":
        revision += "-centre-crop"
    # A first reduction to the model's own size is the same operation; to another size it is not.
    return revision if short_side == input_size else f"{revision}-from-{short_side}"
