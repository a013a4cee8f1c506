"""Celery's settings, read when the application is first used; the broker is only a doorbell."""

from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

from scenebook.errors import ConfigurationError
from scenebook.settings import get_settings

try:
    _settings = get_settings()
except ConfigurationError as problem:
    raise SystemExit(f"scenebook worker: {problem}") from None
if _settings.redis_url is None:
    raise SystemExit("scenebook worker: REDIS_URL is not set. Run `scenebook up`, or set it.")

broker_url = _settings.redis_url
for _scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[_scheme] = "worker.broker:Transport"
result_backend = None
task_ignore_result = True
accept_content = ["json"]
task_serializer = "json"

# The lease in Postgres recovers lost work; a late acknowledgement would loop a poison job.
task_acks_late = False
task_reject_on_worker_lost = False
# Take a message only when a process is free to work on it.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True

worker_pool = "prefork"
worker_concurrency = _settings.worker_concurrency
worker_proc_alive_timeout = 60.0
worker_max_tasks_per_child = 500
# A backstop only, above every deadline, for code that no heartbeat can interrupt: the lease has
# expired by then, so the job is not lost with its process. A soft limit would raise inside
# arbitrary code, a commit for instance.
task_time_limit = _settings.job_deadline_s + 5
task_soft_time_limit = None

broker_connection_retry_on_startup = True
broker_connection_retry = True
broker_connection_max_retries = None
broker_pool_acquire_timeout = 2.0
# The relay publishes again from the table.
task_publish_retry = False
broker_transport_options = {
    "visibility_timeout": 7200,
    "socket_timeout": 10,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}

task_create_missing_queues = False
task_default_queue = "scenebook"
task_queues = (Queue("scenebook"),)

worker_enable_remote_control = False
worker_send_task_events = False
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False
