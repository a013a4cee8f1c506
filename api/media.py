"""Streams of videos and pictures of scenes, by signed URLs."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["media"])
