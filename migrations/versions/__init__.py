"""Revisions, applied once each and never edited after a release."""
