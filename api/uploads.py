"""Uploads in one request, and imports from a URL."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["uploads"])
