"""Let torchvision import beside a CPU build of torch, where its C++ operators are missing."""

from __future__ import annotations

from typing import Any

_library: Any = None  # the operators live as long as this object


def declare_missing_operators() -> None:
    """Declare `torchvision::nms` and `qnms` for a CPU torch; call before importing torchvision.

    PyPI's torchvision is a CUDA build; with a CPU torch its import fails while it registers fake
    kernels for these two. Scenebook uses only its transforms, so a declaration is enough.
    """
    global _library
    import torch

    library: Any = torch.library.Library
    if _library is not None or torch.version.cuda is not None:
        return
    _library = library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
