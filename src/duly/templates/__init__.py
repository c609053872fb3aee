"""Keepers of templates, with Jinja2. Each is imported from its own module."""

from duly.errors import ConfigurationError

try:
    import jinja2  # noqa: F401
except ImportError:
    raise ConfigurationError(["Templates need Jinja2, which is not installed: pip install 'duly[templates]'"]) from None
