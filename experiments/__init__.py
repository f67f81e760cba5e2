"""Binaries: flags, wiring, loop."""
