"""/health, /livez, /readyz, /version and /metrics."""
