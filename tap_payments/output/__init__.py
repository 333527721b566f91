"""Output: Singer messages, batches, and the progress log."""
