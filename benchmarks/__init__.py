"""What duly costs, measured against hand-written code in the same run: ``python -m benchmarks [--quick]``."""
