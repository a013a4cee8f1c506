"""The least that could answer a search: FastAPI, psycopg and the search's SQL, nothing else.

Started by benchmarks.api: python -m benchmarks.bare_endpoint PORT FILE, where FILE holds the
connection string, the owner, the statement and its arguments as JSON.
"""

from __future__ import annotations

import json
import queue
import sys
from pathlib import Path
from typing import Any

import psycopg
import uvicorn
from fastapi import FastAPI
from psycopg.rows import dict_row

CONNECTIONS = 16


def connect(given: dict[str, Any]) -> psycopg.Connection[dict[str, Any]]:
    """A connection that works as the owner, whose role and claims last."""
    connection = psycopg.connect(
        given["conninfo"],
        autocommit=True,
        row_factory=dict_row,
        options="-c plan_cache_mode=force_custom_plan",
    )
    connection.execute("set role scenebook_api")
    connection.execute("select set_config('request.jwt.claims', %s, false)", (given["claims"],))
    return connection


def main() -> None:
    """Serve until SIGTERM."""
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    given = json.loads(path.read_text())
    idle: queue.Queue[psycopg.Connection[dict[str, Any]]] = queue.Queue()
    for _ in range(CONNECTIONS):
        idle.put(connect(given))
    app = FastAPI()

    @app.post("/search")
    def search() -> list[dict[str, Any]]:
        connection = idle.get()
        try:
            return connection.execute(given["statement"], given["arguments"]).fetchall()
        finally:
            idle.put(connection)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
