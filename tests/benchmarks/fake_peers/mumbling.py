"""A peer's program whose answer is none."""

print("some words")
