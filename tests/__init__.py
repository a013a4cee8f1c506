"""Tests; helpers beside them."""
