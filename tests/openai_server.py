"""A small server that speaks the OpenAI API's protocol and misbehaves when told to."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSIONS = 8
CHAT, EMBEDDINGS, TRANSCRIPTIONS = "chat/completions", "embeddings", "audio/transcriptions"


@dataclass(frozen=True)
class Reply:
    """An answer as it goes over the wire; body is JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0  # pause after each byte
    reset: bool = False  # no answer: the connection is reset
    hang: bool = False  # no answer: the connection stays open
    endless: bool = False  # the body again and again, until the client goes away


@dataclass(frozen=True)
class Request:
    """What the client sent; json is empty for a form."""

    path: str
    headers: dict[str, str]
    body: bytes
    json: Any


def chat(content: str | dict[str, Any], **choice: Any) -> Reply:
    """A chat answer with this text, or with this object as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": choice.pop("refusal", None)}
    return Reply(
        {
            "id": "chat-1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        }
    )


def described(description: str = "A red car.", **fields: Any) -> Reply:
    """A good description, or one with other fields."""
    good = {"status": "ok", "description": description, "summary": "A car drives."}
    return chat({**good, "entities": ["Red car"], "actions": ["driving"], **fields})


def no_content() -> Reply:
    """The answer for a picture that shows nothing."""
    return described("", status="no_content", summary="", entities=[], actions=[])


def failure(status: int, message: str = "no", **headers: str) -> Reply:
    """An error in the API's form; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": message, "type": "e", "code": None}}, status, named)


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The embedding that the server gives for a text; not of norm 1."""
    digest = hashlib.sha256(text.encode()).digest()
    return [byte - 127.5 for byte in digest[:dimensions]]


def embedded(texts: list[str]) -> Reply:
    """Embeddings in reverse order, which the protocol allows since each carries its index."""
    data = [
        {"object": "embedding", "index": i, "embedding": vector(text)}
        for i, text in reversed(list(enumerate(texts)))
    ]
    return Reply({"object": "list", "data": data, "model": "m"})


def heard(*segments: tuple[float, float, str], **fields: float) -> Reply:
    """A transcription with these segments (start_s, end_s, text)."""
    confident = {"no_speech_prob": 0.01, "avg_logprob": -0.2, "compression_ratio": 1.2}
    return Reply(
        {
            "text": " ".join(text for _, _, text in segments),
            "segments": [
                {"id": i, "start": start, "end": end, "text": text, **confident, **fields}
                for i, (start, end, text) in enumerate(segments)
            ],
        }
    )


class OpenAIServer(ThreadingHTTPServer):
    """Answers each path from its script first, then well; keeps every request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.endless_bytes = 0
        self._scripts: dict[str, list[Reply]] = {}
        self._rules: dict[str, Callable[[Request], Reply | None]] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def script(self, path: str, *replies: Reply) -> None:
        """The next answers at a path, one each."""
        self._scripts.setdefault(path, []).extend(replies)

    def always(self, path: str, rule: Callable[[Request], Reply | None]) -> None:
        """From now on what a rule gives; None is a good answer."""
        with self._lock:
            self._rules[path] = rule

    def behave(self) -> None:
        """Answer well from now on."""
        with self._lock:
            self._scripts.clear()
            self._rules.clear()

    def asked(self, path: str) -> list[Request]:
        """The requests at a path, in order."""
        return [request for request in self.requests if request.path.endswith(path)]

    def reply_to(self, request: Request) -> Reply:
        """The scripted answer, else a good one."""
        path = request.path.removeprefix("/v1/")
        with self._lock:
            self.requests.append(request)
            if self._scripts.get(path):
                return self._scripts[path].pop(0)
            rule = self._rules.get(path)
        if rule is not None and (reply := rule(request)) is not None:
            return reply
        match path:
            case "chat/completions":
                return described()
            case "embeddings":
                return embedded(request.json["input"])
            case "audio/transcriptions":
                return heard((0.5, 2.0, " Hello there."))
        return failure(404, "no such path")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OpenAIServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_json = self.headers["Content-Type"] == "application/json"
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, body, json.loads(body) if is_json else {})
        reply = self.server.reply_to(request)
        if reply.reset:
            # Lingering for zero seconds sends RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
        elif reply.hang:
            self.server.closing.wait(60)
            self.close_connection = True
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        if reply.endless:
            return self._send_for_ever(reply, body)
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not reply.drip_s:
            self.wfile.write(body)
            return
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.closing.wait(reply.drip_s):
                return

    def _send_for_ever(self, reply: Reply, body: bytes) -> None:
        self.close_connection = True
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            while not self.server.closing.is_set():
                self.wfile.write(body)
                self.server.endless_bytes += len(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the requests are kept."""


@contextmanager
def an_openai_server() -> Iterator[OpenAIServer]:
    """A running server on a free port of the loopback interface."""
    server = OpenAIServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
