"""Keepers of attachments. Each is imported from its own module."""
