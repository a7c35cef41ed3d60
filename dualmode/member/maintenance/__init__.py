"""The Maintenance service, and compaction in the background."""
