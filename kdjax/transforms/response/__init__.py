"""Transforms of losses on what the networks answer."""
