"""Shop systems: one folder each, and registry.py, which lists them."""
