"""Whole processes that are started and timed."""
