"""End to end: the sandbox's API, the tap, real Meltano, and real targets."""
