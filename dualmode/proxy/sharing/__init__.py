"""Watches of several clients that ride on one upstream watch."""
