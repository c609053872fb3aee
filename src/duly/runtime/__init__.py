"""Puts the storeys together."""
