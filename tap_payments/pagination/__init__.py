"""Which page of a list to ask for next. Pure: no network, no clock."""
