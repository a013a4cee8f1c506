"""Chaos: clients and a nemesis over the real system, a history, and a checker at the end."""
