"""From the bytes of a page to records of the declared types."""
