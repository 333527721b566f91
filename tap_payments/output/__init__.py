"""What goes out: Singer messages, batches, and the progress log."""
