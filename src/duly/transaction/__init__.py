"""Act I: a command, its cascade, its commit. Knows nothing of relays, senders or providers."""
