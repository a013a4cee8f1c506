"""Figures, dashboard and alerts against a real Prometheus, and with `promtool`."""
