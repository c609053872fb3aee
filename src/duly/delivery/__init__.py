"""Act II: keeps the promises that commits have made. Knows nothing of commands or providers."""
