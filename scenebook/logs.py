"""Structured logs: one JSON object a line, or readable lines in a terminal."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import structlog

from scenebook.settings import Settings


def configure(settings: Settings) -> None:
    """Send every log, ours and the libraries', through one formatter to standard error."""
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        _harmless,
    ]
    if not console:
        # Railway and most collectors read the sentence from `message`.
        shared.append(structlog.processors.EventRenamer("message"))
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    logging.captureWarnings(True)
    if not console:
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread
    root.setLevel(settings.log_level)
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


# In a terminal these could hide, colour or forge lines; JSON has its own way to write them.
_CONTROLS = {
    one: f"\\x{one:02x}" if one < 0x100 else f"\\u{one:04x}"
    for one in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F))
}
_OF_TRACEBACKS = {key: value for key, value in _CONTROLS.items() if key not in (0x09, 0x0A)}


def _harmless(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Texts without control characters: whoever uploads or calls may have chosen them."""
    return {
        key: value.translate(_OF_TRACEBACKS if key == "exception" else _CONTROLS)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


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
