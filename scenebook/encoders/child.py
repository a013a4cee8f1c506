"""The inference child's `__main__`: models load when the parent asks, then answer batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.child_side import serve
from scenebook.encoders.fake import FAKE, FakeClip
from scenebook.encoders.pictures import UndecodablePicture, decode
from scenebook.errors import ModelUnavailable

Progress = Callable[[dict[str, Any]], None]
Message = dict[str, Any]


class Inference:
    """The models of this process, one of a kind; every method answers one operation."""

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}

    def load(self, request: Message, progress: Progress) -> Message:
        """Load one kind of model with its options; what it is, if it gives vectors."""
        kind, options = request["kind"], request["options"]
        self._models.pop(kind, None)
        try:
            model = self._models[kind] = LOADERS[kind](options)
        except ModelUnavailable:
            self._models.pop("audio", None)  # nobody will transcribe it
            raise
        return model.loaded.message() if hasattr(model, "loaded") else {}

    def encode_images(self, request: Message, progress: Progress) -> Message:
        """A vector or a decode error for each picture, and the time of all in milliseconds."""
        began = time.perf_counter()
        answers: list[Message] = []
        pictures = []
        for data in request["images"]:
            try:
                limits = {"max_pixels": request["max_pixels"], "cpu_s": request["decode_cpu_s"]}
                pictures.append(decode(data, **limits))
                answers.append({})
            except UndecodablePicture as error:
                answers.append({"decode_error": str(error)})
        progress({"decoded": len(pictures)})  # what goes wrong from here on is the model's
        vectors = iter(_packed(self._model("clip").encode(pictures)) if pictures else ())
        for answer in answers:
            if not answer:
                answer["vector"] = next(vectors)
        return {"answers": answers, "elapsed_ms": 1000 * (time.perf_counter() - began)}

    def encode_words(self, request: Message, progress: Progress) -> Message:
        """CLIP's vectors of short texts."""
        return {"vectors": _packed(self._model("clip").encode_words(request["texts"]))}

    def encode_texts(self, request: Message, progress: Progress) -> Message:
        """The text model's vectors."""
        return {"vectors": _packed(self._model("text").encode(request["texts"]))}

    def text_pieces(self, request: Message, progress: Progress) -> Message:
        """A text in pieces that fit the text model's window."""
        return {"pieces": self._model("text").pieces(request["text"])}

    def rerank(self, request: Message, progress: Progress) -> Message:
        """The relevance of each text to a query, within budget_s seconds."""
        model = self._model("rerank")
        scores = model.scores(request["query"], request["texts"], budget_s=request["budget_s"])
        return {"scores": scores}

    def find_speech(self, request: Message, progress: Progress) -> Message:
        """Decode an audio file, keep it for `transcribe`, and say how much of it is speech."""
        from scenebook.encoders.speech import Speech

        self._models.pop("audio", None)  # hours of sound are a gigabyte: never two of them
        speech = Speech(request["audio"])
        if speech.speech_ms:
            self._models["audio"] = speech
        return {"speech_ms": speech.speech_ms, "total_ms": speech.total_ms}

    def transcribe(self, request: Message, progress: Progress) -> Message:
        """The utterances of the audio that `find_speech` decoded."""
        speech = self._models.pop("audio", None)
        if speech is None:
            speech = self._find_again(request, progress)
        gated = self._model("speech").transcribe(
            speech,
            language=request["language"],
            report=lambda share: progress({"share": share}),
        )
        return {
            "utterances": [asdict(utterance) for utterance in gated.utterances],
            "reason": gated.reason,
            "language": gated.language,
            "dropped": {str(reason): count for reason, count in gated.dropped.items()},
        }

    def _find_again(self, request: Message, progress: Progress) -> Any:
        # Loading the speech model may have cost the child its life, and with it the decoded audio.
        self.find_speech(request, progress)
        return self._models.pop("audio")

    def _model(self, kind: str) -> Any:
        if kind not in self._models:
            raise ModelUnavailable(f"The {kind} model is not loaded in this child.")
        return self._models[kind]


def _load_clip(options: Message) -> Any:
    if options["model_name"] == FAKE:
        return FakeClip()
    from scenebook.encoders.runtimes import load_clip

    return load_clip(**options)


def _load_text(options: Message) -> Any:
    from scenebook.encoders.runtimes import load_text

    return load_text(**options)


def _load_speech(options: Message) -> Any:
    from scenebook.encoders.speech import SpeechModel

    return SpeechModel(**options)


def _load_rerank(options: Message) -> Any:
    from scenebook.encoders.rerank import RerankModel

    return RerankModel(**options)


LOADERS: dict[str, Callable[[Message], Any]] = {
    "clip": _load_clip,
    "text": _load_text,
    "speech": _load_speech,
    "rerank": _load_rerank,
}


def _packed(vectors: NDArray[np.float32]) -> list[bytes]:
    return [vector.tobytes() for vector in np.ascontiguousarray(vectors, dtype="<f4")]


def main() -> None:
    """Serve until the parent closes our input."""
    inference = Inference()
    operations = (
        inference.load,
        inference.encode_images,
        inference.encode_words,
        inference.encode_texts,
        inference.text_pieces,
        inference.rerank,
        inference.find_speech,
        inference.transcribe,
    )
    serve({operation.__name__: operation for operation in operations})


if __name__ == "__main__":
    main()
