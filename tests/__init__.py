"""Tests of tap-payments."""
