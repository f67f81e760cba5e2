"""What the teacher computes inside: losses on hidden features."""
