"""Answers to serializable reads that the proxy keeps for a while (`--cache-bytes`)."""
