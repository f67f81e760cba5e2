"""How the teacher arranges examples: losses that couple the batch."""
