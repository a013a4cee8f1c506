"""Writes the OpenAPI document that the page's types are made from: what succeeds, without errors.

Errors are one shape everywhere; the page's client throws them as `Problem`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from api.app import create_app
from scenebook.settings import Settings


def document() -> dict[str, Any]:
    """The API's document with no responses but 2xx."""
    # Nothing is connected to: the application is only described.
    settings = Settings(database_url="postgresql://nowhere/none", scenebook_secret_key="-" * 32)
    found = create_app(settings).openapi()
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"] = {
                status: response
                for status, response in operation["responses"].items()
                if status.startswith("2")
            }
    return found


if __name__ == "__main__":
    json.dump(document(), sys.stdout)
