"""Tests of what is around the package: documents, settings in `meltano.yml`, the wheel."""
