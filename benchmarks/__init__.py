"""Measurements and comparisons beside other implementations."""
