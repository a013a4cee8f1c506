"""Pictures to CLIP's input, exactly as open_clip does it, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenebook.encoders.pictures import reduce_short_side

Fit = Literal["crop", "letterbox"]

# A long strip loses its ends before it is enlarged: all of 1 x 20 000 pixels would take gigabytes.
LONGEST_STRIP = 20


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How one model wants its pictures. height and width are its input's; mean and std have three
    values, of red, green and blue from 0 to 1.

    resize_mode is open_clip's: `shortest` crops what is too long, `longest` pads with fill (0 to
    255), `squash` does neither. short_side bounds the SHORT side of a picture before all else.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    fill: int
    short_side: int

    @classmethod
    def of(
        cls, configuration: Mapping[str, Any], *, fit: Fit, max_image_size: int
    ) -> Preprocessing:
        """From open_clip's `preprocess_cfg` and the settings CLIP_FIT and CLIP_MAX_IMAGE_SIZE."""
        size = configuration["size"]
        height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
        own = str(configuration["resize_mode"])
        return cls(
            height=int(height),
            width=int(width),
            mean=_three(configuration["mean"]),
            std=_three(configuration["std"]),
            interpolation=str(configuration["interpolation"]),
            resize_mode="longest" if fit == "letterbox" else own,
            fill=int(configuration.get("fill_color", 0)),
            short_side=max(max_image_size, min(height, width)),
        )

    @property
    def revision(self) -> str:
        """Its name in an embedding space, as "shortest-224-bicubic-centre-crop"."""
        size = min(self.height, self.width)
        revision = f"{self.resize_mode}-{size}-{self.interpolation}"
        if self.resize_mode == "shortest":
            revision += "-centre-crop"
        # A first reduction to the model's own size is the same operation; to another it is not.
        return revision if self.short_side == size else f"{revision}-from-{self.short_side}"

    def batch(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(n, 3, height, width) for n upright RGB pictures."""
        pixels = np.stack([np.asarray(self.fitted(picture)) for picture in pictures])
        values = pixels.astype(np.float32) / np.float32(255)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return np.ascontiguousarray(((values - mean) / std).transpose(0, 3, 1, 2))

    def fitted(self, picture: Image.Image) -> Image.Image:
        """The picture at the model's size."""
        small = reduce_short_side(picture, self.short_side)
        if self.resize_mode == "squash":
            return self._resized(small, self.width, self.height)
        if self.resize_mode == "longest":
            ratio = max(small.height / self.height, small.width / self.width)
            size = max(1, round(small.width / ratio)), max(1, round(small.height / ratio))
            return self._centred(self._resized(small, *size))
        small = _shortened(small)
        if self.height == self.width:
            return self._centred(self._resized(small, *_shortest(small.size, self.height)))
        ratio = min(small.height / self.height, small.width / self.width)
        return self._centred(
            self._resized(small, round(small.width / ratio), round(small.height / ratio))
        )

    def _resized(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        bilinear = self.interpolation == "bilinear"
        kind = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        return picture.resize((width, height), kind)

    def _centred(self, picture: Image.Image) -> Image.Image:
        """Padded where it is too small, then cropped where it is too large."""
        width, height = max(picture.width, self.width), max(picture.height, self.height)
        if (width, height) != picture.size:
            canvas = Image.new("RGB", (width, height), (self.fill,) * 3)
            canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
            picture = canvas
        left, top = round((width - self.width) / 2), round((height - self.height) / 2)
        return picture.crop((left, top, left + self.width, top + self.height))


def _three(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(map(float, value))


def _shortest(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height with the short side at `side`, rounded as torchvision rounds."""
    width, height = size
    if width <= height:
        return side, int(side * height / width)
    return int(side * width / height), side


def _shortened(picture: Image.Image) -> Image.Image:
    longest = LONGEST_STRIP * min(picture.size)
    width, height = min(picture.width, longest), min(picture.height, longest)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    if (width, height) == picture.size:
        return picture
    return picture.crop((left, top, left + width, top + height))
