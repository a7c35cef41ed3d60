"""Write-ahead log, backend, multi-version store, leases: what is on the disk."""
