"""Loss transforms with what they should compute, by hand."""
