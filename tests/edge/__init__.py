"""Tests of dualmode.edge."""
