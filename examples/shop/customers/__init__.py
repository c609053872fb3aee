"""Who buys: customers, and the wishes for a newsletter."""
