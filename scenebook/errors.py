"""One error tree: every error knows its HTTP status, a stable code, and whether to try again.

ScenebookError
├── InvalidInput             the caller or the file is wrong; never retried
│   ├── InvalidMedia         the file cannot be indexed
│   ├── InvalidSubtitles     the transcript file cannot be read
│   ├── InvalidQuery         the search cannot be asked like this
│   ├── InvalidToken         a page token that was not made here, or for another list
│   └── ConfigurationError   a setting is missing, unknown or malformed
├── Unauthorized             nobody is signed in, or the key or token is not valid
├── Forbidden                the key or token does not allow this
├── NotFound                 there is no such thing for this owner
├── Expired                  a token or upload was valid once
├── Conflict                 the thing is in a state that does not allow it
├── TooLarge                 the body or file is larger than the limit
├── TooSlow                  the body did not arrive in time
├── WrongVersion             another version of the protocol is spoken here
├── UnsupportedType          a body of this media type cannot be read
├── QuotaExceeded            the owner's limit is reached
├── RateLimited              too many requests; come again later
├── Unavailable              a service or model cannot be reached now; retried
│   ├── OutOfReach           the database or the storage; the message is for the operator
│   └── ModelUnavailable     the model's weights or package cannot be loaded
├── ExportRefused            an exported model does not answer as the original does
├── DeadlineExceeded         a promised time bound was reached
├── ChildDied                a child process ended, was killed or broke the protocol
├── JobLost                  another worker owns the job now; stop and write nothing
└── Postponed                the job cannot start yet; give it back and come again soon
"""

from __future__ import annotations


class ScenebookError(Exception):
    """An unexpected error inside Scenebook."""

    status = 500
    code = "internal"
    retryable = False
    retry_after_s: int | None = None  # for 429 and 503, where it is known

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        if code is not None:
            self.code = code


class InvalidInput(ScenebookError):
    """The input is not valid."""

    status = 422
    code = "invalid_input"


class InvalidMedia(InvalidInput):
    """The file cannot be indexed: no video in it can be decoded."""

    code = "invalid_media"


class InvalidSubtitles(InvalidInput):
    """The transcript file cannot be read as WebVTT or SubRip."""

    code = "invalid_subtitles"


class InvalidQuery(InvalidInput):
    """The query cannot be searched."""

    code = "invalid_query"


class InvalidToken(InvalidInput):
    """The page token was not made for this list."""

    status = 400
    code = "invalid_token"


class ConfigurationError(InvalidInput):
    """The configuration is not valid."""

    status = 500
    code = "configuration"


class Unauthorized(ScenebookError):
    """Nobody is signed in."""

    status = 401
    code = "unauthorized"


class Forbidden(ScenebookError):
    """This is not allowed."""

    status = 403
    code = "forbidden"


class NotFound(ScenebookError):
    """There is no such thing for this owner."""

    status = 404
    code = "not_found"


class Expired(ScenebookError):
    """It was valid once and is no longer."""

    status = 410
    code = "expired"


class Conflict(ScenebookError):
    """The current state does not allow this."""

    status = 409
    code = "conflict"


class TooLarge(InvalidInput):
    """It is larger than the limit."""

    status = 413
    code = "too_large"


class TooSlow(InvalidInput):
    """The body did not arrive in time."""

    status = 408
    code = "too_slow"


class WrongVersion(InvalidInput):
    """Another version of the protocol is spoken here."""

    status = 412
    code = "wrong_version"


class UnsupportedType(InvalidInput):
    """A body of this media type cannot be read."""

    status = 415
    code = "unsupported_media_type"


class QuotaExceeded(ScenebookError):
    """The owner's limit is reached."""

    status = 429
    code = "quota_exceeded"


class RateLimited(ScenebookError):
    """Too many requests."""

    status = 429
    code = "rate_limited"
    retryable = True


class Unavailable(ScenebookError):
    """A service that is needed cannot be reached now."""

    status = 503
    code = "unavailable"
    retryable = True


class OutOfReach(Unavailable):
    """What Scenebook stands on does not answer now."""


class ModelUnavailable(Unavailable):
    """The model cannot be loaded."""

    code = "model_unavailable"


class ExportRefused(ScenebookError):
    """The exported model does not answer as the original does."""

    status = 422
    code = "export_refused"


class DeadlineExceeded(ScenebookError):
    """The work took longer than its deadline."""

    status = 504
    code = "timeout"
    retryable = True


class ChildDied(ScenebookError):
    """A child process ended before it answered."""

    code = "child_died"
    retryable = True


class JobLost(ScenebookError):
    """Another worker owns this job now."""

    code = "job_lost"


class Postponed(ScenebookError):
    """The job has to wait for another one."""

    code = "postponed"
    retryable = True
