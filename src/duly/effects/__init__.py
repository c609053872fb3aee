"""Act III: attempts what was intended, and keeps the ledger. Knows nothing of commands or relays."""
