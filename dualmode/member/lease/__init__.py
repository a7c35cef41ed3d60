"""Leases: who holds which, when they expire, and the calls on them."""
