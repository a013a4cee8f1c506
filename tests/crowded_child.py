"""An inference child with room for one model, and none for the one that is called `huge`."""

from collections.abc import Callable
from typing import Any

from scenebook.child_side import serve

loaded: list[str] = []


def load(request: dict[str, Any], progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    if loaded or request["options"]["name"] == "huge":
        raise MemoryError
    loaded.append(request["kind"])
    return {}


if __name__ == "__main__":
    serve({"load": load})
