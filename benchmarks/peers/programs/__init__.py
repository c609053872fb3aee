"""One file for each peer and flow. They run in the peer's environment: nothing of duly is there, only the peer."""
