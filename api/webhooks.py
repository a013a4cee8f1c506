"""Webhook endpoints of an owner and the log of their deliveries."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["webhooks"])
