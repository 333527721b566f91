"""End to end: the fake API's API, the tap, real Meltano, and real targets."""
