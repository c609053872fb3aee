"""A peer's program that does not come to an end well."""

raise RuntimeError("the library was not in the mood\n  and said so at length")
