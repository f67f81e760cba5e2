"""Slow, plain NumPy float64 versions of what kdjax computes."""
