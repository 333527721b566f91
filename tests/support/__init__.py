"""Helpers of the tests: runs of the tap, records, proxies, PostgreSQL and Meltano."""
