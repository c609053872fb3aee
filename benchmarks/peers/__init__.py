"""Other libraries that do the same work, each in a virtual environment of its own, measured in the rounds of ours."""
