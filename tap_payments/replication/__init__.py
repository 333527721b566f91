"""Replication plans: which span of time to read next, and bookmarks."""
