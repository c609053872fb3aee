"""The floors: the same work written by hand, with nothing but the SQL."""
