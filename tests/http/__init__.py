"""Tests of dualmode.http."""
