"""Tests of dualmode.proxy."""
