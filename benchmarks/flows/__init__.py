"""What is measured: each flow in duly, beside its floor."""
