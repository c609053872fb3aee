"""Keepers of templates, with Jinja2. Each is imported from its own module."""
