"""Who owes what: payments, and the customers' accounts."""
