"""Whether the process lives, is ready, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])
