"""One page over HTTP: transport, retries, pace, and pages fetched ahead."""
