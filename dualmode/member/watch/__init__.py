"""Watches: who hears of which change, at once or by catching up."""
