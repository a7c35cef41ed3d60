"""The KV service: request checks, reads, and what is handed to the replica."""
