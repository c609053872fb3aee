"""An example: a shop that runs for many companies. Read `application.py` first, then `ordering`.

Each module has its `messages` (all that others may know of it), its aggregates, and its handlers.
"""
