"""Singer targets from PyPI, each tried with the tap: `make test-targets` writes `docs/targets.md`."""
