"""The visual model for a Python developer: vectors of pictures and texts, and what a picture shows.

with VisualModel(get_settings()) as model:
    model.verify_classification("crop.jpg", "bottle", against=["cup", "vase"])
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from scenebook import classification
from scenebook.classification import THRESHOLD, USUAL_SCALE, Classification, Verification
from scenebook.encoders.client import Encoders, ImageVector
from scenebook.encoders.spaces import Calibration
from scenebook.errors import (
    DeadlineExceeded,
    InvalidQuery,
    ModelUnavailable,
    NotFound,
    ScenebookError,
    Unavailable,
)
from scenebook.labels import EVERYDAY, ONE_TEMPLATE, TEMPLATES, distinct, prompts, rivals
from scenebook.model import ChannelStatus, EmbeddingSpace
from scenebook.settings import Settings

Vector = NDArray[np.float32]
Picture = Path | str | bytes | Image.Image | NDArray[np.uint8]

MAX_TEXT_LENGTH = 2000
MAX_LABELS = 500
MAX_FILE_BYTES = 100_000_000
# Texts in one request, which CLIP_TIMEOUT_S bounds: ViT-B-32 needs 50 ms for one on 2 idle cores.
TEXTS_A_REQUEST = 4
ORIENTATION = ExifTags.Base.Orientation
# Labels whose vectors are remembered.
REMEMBERED = 2000
# A mean of unit vectors that is shorter points nowhere.
CANCELLED = 1e-6
# What PNG keeps as it is; pictures of other modes are made RGB before they travel.
PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


class VisualModel:
    """CLIP, whatever CLIP_ENABLED says: constructing it is the wish to use it.

    Every vector is float32 (get_embedding_dim(),), of norm 1. A picture is a path, the bytes of an
    image file, a PIL image, or an array: RGB (not BGR), uint8, height x width x 3. `calibration`
    replaces what the checkpoint says of its probabilities. Besides what is said below, methods
    raise ModelUnavailable, DeadlineExceeded and ChildDied; end it with `close`, or use `with`.
    """

    def __init__(self, settings: Settings, *, calibration: Calibration | None = None) -> None:
        self._settings = settings.model_copy(update={"clip_enabled": True})
        self._encoders = Encoders(self._settings)
        self._calibration = calibration
        self._labels: dict[tuple[str, tuple[str, ...]], Vector] = {}

    def __enter__(self) -> VisualModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process that holds the model."""
        self._encoders.close()

    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors: model, weights, preprocessing, dimensions."""
        return self._encoders.image_space()

    def get_embedding_dim(self) -> int:
        """Dimensions of every vector, as the loaded model says."""
        return self.space().dimensions

    def calibration(self) -> Calibration:
        """The scale of the probabilities, and the labels that the checkpoint was trained on."""
        found = self._calibration or self._encoders.image_calibration()
        return found if found.logit_scale > 0 else replace(found, logit_scale=USUAL_SCALE)

    def encode_image(self, image: Picture) -> Vector:
        """The vector of one picture. Raises InvalidQuery or NotFound for one that is none."""
        return self.encode_images([image])[0]

    def encode_images(self, images: Sequence[Picture]) -> list[Vector]:
        """One vector a picture, in their order; the first one that cannot be used raises."""
        files = [image_file(image, max_pixels=self._settings.media_max_pixels) for image in images]
        answers = self._encoders.encode_images(files)
        return [
            vector_of(answer, which=f"Picture {place}" if len(files) > 1 else "The picture")
            for place, answer in enumerate(answers, start=1)
        ]

    def encode_text(self, text: str) -> Vector:
        """The vector of one text, in the space of the pictures. Raises InvalidQuery if blank."""
        return self.encode_texts([text])[0]

    def encode_texts(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text, in their order."""
        for text in texts:
            if not text.strip():
                raise InvalidQuery("The text is empty. Say what the picture may show.")
            if len(text) > MAX_TEXT_LENGTH:
                raise InvalidQuery(f"The text is longer than {MAX_TEXT_LENGTH} characters.")
        vectors: list[Vector] = []
        for start in range(0, len(texts), TEXTS_A_REQUEST):
            part = texts[start : start + TEXTS_A_REQUEST]
            vectors += self._encoders.encode_query_image_text(part)
        return vectors

    def encode_multimodal(self, image: Picture, text: str, image_weight: float = 0.5) -> Vector:
        """A QUERY for scenes that look like the picture and fit the text: their weighted mean.

        The unit vectors are weighted with image_weight (0 to 1) and the rest, added, and brought to
        norm 1. It is no description of the picture. The text is in it whether it is true or not: it
        pulls together what carries one label, and hides a wrong one. To recognise a thing again use
        encode_image alone, and to check a label verify_classification.
        """
        if not 0 <= image_weight <= 1:
            raise InvalidQuery(f"The weight of the image lies from 0 to 1, not {image_weight:g}.")
        picture, words = self.encode_image(image), self.encode_text(text)
        both = image_weight * picture + (1 - image_weight) * words
        norm = float(np.linalg.norm(both))
        if norm < CANCELLED:
            raise InvalidQuery("Picture and text cancel each other out. Change the weight.")
        return np.asarray(both / norm, dtype=np.float32)

    def classify(self, image: Picture, labels: Sequence[str]) -> Classification:
        """The labels ranked for one picture, with probabilities that add up to 1."""
        return self.classify_images([image], labels)[0]

    def classify_images(
        self, images: Sequence[Picture], labels: Sequence[str]
    ) -> list[Classification]:
        """A ranking a picture. Labels that mean the same count once.

        Raises InvalidQuery unless there are 2 to 500 that mean different things: among one, its
        probability is 1 whatever the picture shows.
        """
        asked = distinct(labels)
        if len(asked) < 2:
            raise InvalidQuery(
                "A picture is classified among 2 labels or more that mean different things. To "
                "check one label, verify it."
            )
        return self._ranked(images, asked, TEMPLATES)

    def verify_classification(
        self,
        image: Picture,
        class_name: str,
        threshold: float = THRESHOLD,
        *,
        against: Sequence[str] | None = None,
    ) -> Verification:
        """Whether a picture shows class_name rather than anything it is ranked against.

        It matches if no other label is more probable and its probability is at least threshold (0
        to 1). Alternatives are `against`, else the labels the checkpoint was trained on, else
        everyday things; the class itself in another case or number is none. Raises InvalidQuery if
        nothing is left to compare with.
        """
        classification.require_threshold(threshold)
        if not distinct([class_name]):
            raise InvalidQuery("The label is empty. Say what the picture should show.")
        general = self.calibration().labels or EVERYDAY
        others = rivals(
            class_name, general if against is None else against, named=against is not None
        )
        if not others:
            raise InvalidQuery(
                f"{class_name!r} has nothing to be compared with. Name what the picture may show "
                "instead."
            )
        templates = ONE_TEMPLATE if against is None and general is EVERYDAY else TEMPLATES
        (found,) = self._ranked([image], [class_name, *others], templates)
        return classification.verification(class_name, found, threshold=threshold)

    def _ranked(
        self, images: Sequence[Picture], labels: Sequence[str], templates: tuple[str, ...]
    ) -> list[Classification]:
        """The labels, all of different meaning, ranked for each picture."""
        if len(labels) > MAX_LABELS:
            raise InvalidQuery(f"{len(labels)} labels are too many. Name at most {MAX_LABELS}.")
        pictures = self.encode_images(images)
        columns = np.stack(self._label_vectors(labels, templates), axis=1)
        scale = self.calibration()
        return [
            classification.classification(
                labels,
                picture @ columns,
                logit_scale=scale.logit_scale,
                calibrated=scale.calibrated,
            )
            for picture in pictures
        ]

    def _label_vectors(self, labels: Sequence[str], templates: tuple[str, ...]) -> list[Vector]:
        """The mean of each label's prompts; remembered, for the same labels are asked again."""
        if len(self._labels) + len(labels) > REMEMBERED:
            self._labels.clear()
        missing = [label for label in labels if (label, templates) not in self._labels]
        asked = [prompts(label, templates) for label in missing]
        vectors = iter(self.encode_texts([prompt for each in asked for prompt in each]))
        for label, each in zip(missing, asked, strict=True):
            mean = classification.label_vector([next(vectors) for _ in each])
            self._labels[label, templates] = mean
        return [self._labels[label, templates] for label in labels]


def vector_of(answer: ImageVector, *, which: str = "The picture") -> Vector:
    """The vector of an answer of Encoders.encode_images, or the error that its status means."""
    if answer.vector is not None:
        return answer.vector
    reason = answer.error or f"its status is {answer.status}."
    match answer.status:
        case ChannelStatus.DECODE_ERROR:
            raise InvalidQuery(f"{which} cannot be used. {reason}")
        case ChannelStatus.TIMEOUT:
            raise DeadlineExceeded(f"{which} took too long: {reason}. Raise CLIP_TIMEOUT_S.")
        case ChannelStatus.LOAD_ERROR:
            raise ModelUnavailable(reason)
        case ChannelStatus.CIRCUIT_OPEN:
            raise Unavailable(reason)
        case _:
            raise ScenebookError(f"{which} has no vector: {reason}")


def image_file(image: Picture, *, max_pixels: int) -> bytes:
    """The picture as the bytes of an image file, of the same pixels and orientation.

    Raises NotFound for a path without a file, and InvalidQuery for what is no picture.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return _read(Path(image))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InvalidQuery(
                "An array is a picture if it is RGB, uint8 and height x width x 3; this one is "
                f"{image.dtype} {'x'.join(map(str, image.shape))}."
            )
        _require_size(image.shape[1], image.shape[0], max_pixels)
        return _png(Image.fromarray(np.ascontiguousarray(image)))
    if not isinstance(image, Image.Image):
        raise InvalidQuery(
            f"A picture is a path, bytes, a PIL image or an array, not {type(image).__name__}."
        )
    _require_size(*image.size, max_pixels)
    if image.mode == "F":
        raise InvalidQuery(
            "Nothing says where black and white lie in an image of mode F. Convert it to mode L."
        )
    try:
        if image.mode not in PNG_MODES:
            image = image.convert("I;16" if image.mode == "I" else "RGB")
        return _png(image)
    except Exception as error:  # the door to PIL, which decodes late and raises anything
        reason = str(error).rstrip(".") or type(error).__name__
        raise InvalidQuery(f"The picture cannot be decoded: {reason}.") from error


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise InvalidQuery(f"{path} is no regular file. Name one picture.")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidQuery(f"{path} is larger than a picture: {MAX_FILE_BYTES} bytes.")
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise InvalidQuery(f"{path} cannot be read: {error.strerror or error}.") from error


def _require_size(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise InvalidQuery(
            f"The picture has {width}x{height} pixels; the limit is {max_pixels} in all "
            "(MEDIA_MAX_PIXELS)."
        )


def _png(picture: Image.Image) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    # It lies as it lay in its file; the model's side turns it upright.
    exif[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    picture.save(file, "PNG", compress_level=1, exif=exif)
    return file.getvalue()
