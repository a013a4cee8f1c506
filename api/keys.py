"""API keys of an owner."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["keys"])
