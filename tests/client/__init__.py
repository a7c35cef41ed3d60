"""Tests of dualmode.client."""
