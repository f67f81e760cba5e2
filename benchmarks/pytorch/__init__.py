"""The losses in plain PyTorch, written from their formulas.

The naive form on purpose, the one that is public everywhere: what kdjax is
checked against and timed beside. Every loss is `f(student, teacher, ...)`,
returns a scalar with the mean over the batch taken, and stops no gradient
unless its definition does. Feature maps are `[batch, height, width, channels]`.
"""
