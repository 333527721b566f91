"""Tests of the tap over real HTTP on loopback."""
