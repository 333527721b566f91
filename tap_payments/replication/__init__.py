"""Which span of time to read next, and what a STATE may say."""
