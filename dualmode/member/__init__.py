"""The full server: start-up, services, propose, apply, leases, compaction, readiness."""
