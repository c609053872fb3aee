"""The applications that are measured."""
