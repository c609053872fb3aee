"""What the flow needs from outside: protocols, and the values that pass through them."""
