"""Durable records and their legal moves. Pure: the record and the facts come in, a decision goes out."""
