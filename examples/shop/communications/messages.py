"""What communications can be asked, and what it tells: nothing, so far. It only listens."""
