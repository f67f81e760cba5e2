"""Transforms of losses on what the networks compute inside."""
