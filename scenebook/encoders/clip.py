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

from scenebook.encoders.checkpoints import ClipSource, clip_source
from scenebook.encoders.preprocessing import Fit, Preprocessing
from scenebook.encoders.spaces import Calibration, LoadedModel
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
    with `open_clip_config.json` and weights, which then names the architecture itself; model_name
    `figures` is the checkpoint that is shipped. fit is how pictures of another shape are fitted.
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
        fit: Fit = "crop",
    ) -> None:
        try:
            declare_missing_operators()
            import open_clip
            import torch
        except ImportError as error:
            raise ModelUnavailable(
                f"CLIP needs the packages of the extra 'clip' ({error}): pip install "
                "'scenebook[clip]', or set CLIP_ENABLED=false."
            ) from error
        self._torch = torch
        torch.set_num_threads(threads)
        self._device = _present(device)
        source = clip_source(model_name, pretrained)
        self.model = create_model(source, device=self._device, cache_dir=cache_dir)
        self.tokenizer = open_clip.get_tokenizer(source.name)
        self.configuration: dict[str, Any] = dict(self.model.visual.preprocess_cfg)
        self.preprocessing = Preprocessing.of(
            self.configuration, fit=fit, max_image_size=max_image_size
        )
        dimensions, input_s = self._measure()
        known = source.calibration or Calibration(self.model.logit_scale.exp().item())
        self.loaded = LoadedModel(
            model=source.model,
            weights=source.weights,
            revision=self.preprocessing.revision,
            dimensions=dimensions,
            device=self._device,
            input_s=input_s,
            logit_scale=known.logit_scale,
            labels=known.labels,
            calibrated=known.calibrated,
        )

    def encode(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(n, dimensions) image vectors of upright RGB pictures."""
        batch = self._torch.from_numpy(self.preprocessing.batch(pictures))
        with self._torch.inference_mode():
            vectors = self.model.encode_image(batch.to(self._device), normalize=True)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def encode_words(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of the text tower, comparable with image vectors."""
        with self._torch.inference_mode():
            tokens = self.tokenizer(list(texts)).to(self._device)
            vectors = self.model.encode_text(tokens, normalize=True)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _measure(self) -> tuple[int, float]:
        """Dimensions, and seconds of one picture; the first call, a warm-up, is not counted."""
        size = (self.preprocessing.width, self.preprocessing.height)
        grey = Image.new("RGB", size, (128, 128, 128))
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


def create_model(source: ClipSource, *, device: str, cache_dir: str, weights: bool = True) -> Any:
    """open_clip's model with the activation its weights were trained with; random without weights.

    Raises ModelUnavailable with what to do.
    """
    import open_clip

    name, pretrained = source.name, source.pretrained
    # `local-dir:` and `hf-hub:` bring their own configuration, and a file is in no table.
    in_table = ":" not in name and not Path(pretrained).is_file()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            model = open_clip.create_model(
                name,
                pretrained=pretrained if weights and ":" not in name else None,
                load_weights=weights,
                device=device,
                cache_dir=cache_dir,
                force_quick_gelu=in_table and uses_quick_gelu(name, pretrained),
                require_pretrained=weights,
            )
    # open_clip, torch, safetensors and the hub raise whatever they like for bad or absent weights.
    except Exception as error:
        raise ModelUnavailable(
            f"CLIP model {name} with weights {pretrained} cannot be loaded: {error}. Check "
            "CLIP_MODEL_NAME and CLIP_PRETRAINED; weights that are not in CLIP_CACHE_DIR are "
            "downloaded, which needs the network."
        ) from error
    return model.eval()
