"""Where databases are made, copied, counted and thrown away."""
