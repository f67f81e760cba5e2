"""What the teacher answers: losses on logits."""
