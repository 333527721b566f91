"""Tests of single parts: no connection, no process."""
