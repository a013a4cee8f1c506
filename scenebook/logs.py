"""Structured logs: one JSON object a line, or readable lines in a terminal."""

from __future__ import annotations

import fcntl
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog
from pydantic import SecretStr

from scenebook.settings import Settings

# Longer lines are cut in two by what collects them, and are no JSON then.
LONGEST_TEXT = 8_000
# A process that was frozen while it wrote keeps nobody waiting for longer.
TURN_S = 5.0
# A shorter password is in too many words.
SHORTEST_SECRET = 6
SECRET = re.compile(
    r"(?i)\b(?:(?:sk|pk|rk)-[\w*.-]{6,}|(?:sbk|whsec)_[\w+/=-]{6,})"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?<=bearer )\S+"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)|(?<=[?&]token=)[\w.-]+"
)


def configure(settings: Settings) -> None:
    """Send every log, ours and the libraries', through one formatter to standard error."""
    terminal = sys.stderr.isatty()
    console = settings.log_format == "console" or (settings.log_format == "auto" and terminal)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        Harmless(secrets_of(settings)),
    ]
    if not console:
        # Railway and most collectors read the sentence from `message`.
        shared.append(structlog.processors.EventRenamer("message"))
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=terminal)
        if console
        else structlog.processors.JSONRenderer()
    )
    handler = Lines(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable
    for chatty in (
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "openai",
        "kombu",
        "celery.app.trace",
        "celery.worker.strategy",
        "alembic.runtime.migration",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


class Lines(logging.StreamHandler[Any]):
    """Writes whole lines; of a record that cannot be written, a line that says so."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, however long, between those of other processes."""
        try:
            line = self.format(record) + self.terminator
            with _turn(self.stream):
                self.stream.write(line)
                self.flush()
        except Exception:  # noqa: BLE001 - a log never breaks what it is about
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Instead of a traceback past every format."""
        kind = sys.exc_info()[0]
        if record.name == __name__ or (kind is not None and issubclass(kind, OSError)):
            return  # nobody reads what we write
        structlog.get_logger(__name__).error(
            "record_unreadable", of=record.name, text=str(record.msg), error=str(kind)
        )


@contextmanager
def _turn(stream: Any) -> Iterator[None]:
    """A pipe that a worker's processes share would mix lines of more than 4096 bytes."""
    with suppress(OSError):  # no file, or one that knows no locks
        give_up_at = time.monotonic() + TURN_S
        while not _taken(stream) and time.monotonic() < give_up_at:
            time.sleep(0.001)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(stream, fcntl.LOCK_UN)


def _taken(stream: Any) -> bool:
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# In a terminal these could hide, colour or forge lines; JSON has its own way to write them.
_CONTROLS = {
    one: f"\\x{one:02x}" if one < 0x100 else f"\\u{one:04x}"
    for one in (
        *range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F),
        *range(0x2066, 0x206A), 0xFEFF, *range(0xD800, 0xE000),
    )
}  # fmt: skip
_OF_TRACEBACKS = {key: value for key, value in _CONTROLS.items() if key not in (0x09, 0x0A)}


class Harmless:
    """Makes texts that whoever uploads or calls may have chosen safe, short and without secrets."""

    def __init__(self, secrets: Collection[str]) -> None:
        known = "|".join(re.escape(one) for one in sorted(secrets, key=len, reverse=True))
        self._known = re.compile(known) if known else None

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        """A step of structlog."""
        return {
            key: self._of(value, lambda text: self._text(text, _OF_TRACEBACKS))
            if key == "exception"
            else self._of(value, lambda text: self._text(text, _CONTROLS))
            for key, value in event.items()
        }

    def _of(self, value: Any, clean: Callable[[str], str]) -> Any:
        match value:
            case str():
                return clean(value)
            case bool() | int() | None:
                return value
            case float():  # JSON has no word for those that are no numbers
                return value if abs(value) < float("inf") else str(value)
            case dict():
                return {clean(str(key)): self._of(one, clean) for key, one in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._of(one, clean) for one in value]
            case logging.LogRecord():
                return value  # structlog itself hands it on
        return clean(_said(value))

    def _text(self, text: str, controls: dict[int, str]) -> str:
        if self._known is not None:
            text = self._known.sub("***", text)
        text = SECRET.sub("***", text).translate(controls)
        if len(text) <= LONGEST_TEXT:
            return text
        half = LONGEST_TEXT // 2
        return f"{text[:half]}… {len(text) - LONGEST_TEXT} characters …{text[-half:]}"


def _said(value: object) -> str:
    try:
        return str(value) if isinstance(value, UUID | PurePath) else repr(value)
    except Exception as error:  # noqa: BLE001 - a log never breaks what it is about
        return f"{type(value).__name__} that cannot be shown ({type(error).__name__})"


def secrets_of(settings: Settings) -> set[str]:
    """Values that no line may hold: secrets, and passwords in URLs, as they stand and unquoted."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.add(value.get_secret_value())
        elif isinstance(value, str) and "://" in value:
            password = urlsplit(value).netloc.rpartition("@")[0].partition(":")[2]
            found |= {password, unquote(password)}
    return {one for one in found if len(one) >= SHORTEST_SECRET}


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger(__name__).critical("process_broke", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(broke: threading.ExceptHookArgs) -> None:
    if broke.exc_value is not None:
        structlog.get_logger(__name__).critical(
            "thread_broke",
            thread=broke.thread.name if broke.thread else None,
            exc_info=(broke.exc_type, broke.exc_value, broke.exc_traceback),
        )


def _log_unraisable(broke: Any) -> None:
    """What went wrong where nobody can catch it, as in a finaliser."""
    structlog.get_logger(__name__).error(
        "finaliser_broke",
        of=repr(broke.object)[:200],
        exc_info=(broke.exc_type, broke.exc_value, broke.exc_traceback),
    )
