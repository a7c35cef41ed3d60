"""Tests of dualmode.proxy.tcp."""
