"""Search by words, pictures and scenes."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["search"])
