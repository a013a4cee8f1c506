"""PostgREST's conventions for our SQL functions, so that Supabase's clients can call them."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["postgrest"])
