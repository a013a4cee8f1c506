"""What a tus client says of the file that it uploads: the header `Upload-Metadata`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.uploads import AboutIn
from scenebook.errors import InvalidInput
from scenebook.incoming import title_of

# Where clients put a file's name: tus' own, Uppy's, Supabase's.
NAMES = ("filename", "name", "objectName")


def read_metadata(header: str) -> Mapping[str, str]:
    """`Upload-Metadata`: keys with base64 values, commas between. Raises InvalidInput."""
    found: dict[str, str] = {}
    for pair in filter(None, (one.strip() for one in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidInput(
                "Upload-Metadata is not `key base64,key base64` with values in UTF-8.",
                code="invalid_metadata",
            ) from None
    return found


def name_in(metadata: Mapping[str, str]) -> str:
    """The file's name, as clients give it, made a title."""
    return title_of(next((metadata[key] for key in NAMES if metadata.get(key)), ""))


def about_in(metadata: Mapping[str, str]) -> AboutIn:
    """What the client says of the video; keys that are not ours are of no concern."""
    given: dict[str, Any] = {
        key: metadata[key] for key in ("title", "language") if metadata.get(key)
    }
    try:
        if metadata.get("metadata"):
            given["metadata"] = json.loads(metadata["metadata"])
        return AboutIn.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    except (ValueError, RecursionError):
        raise InvalidInput("The metadata is not a JSON object.", code="invalid_metadata") from None
