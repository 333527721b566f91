"""The tap beside its peers: what a record costs in each of them, measured in one run against the fake API."""
