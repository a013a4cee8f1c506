"""The HTTP service: a thin door to `scenebook`; it knows neither Celery nor the worker."""
