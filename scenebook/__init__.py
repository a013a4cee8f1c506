"""Scenebook's domain: videos, scenes, channels and search, without Celery and without HTTP."""
