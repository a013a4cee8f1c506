"""Two searches by a GET, for curl."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["quick"])
