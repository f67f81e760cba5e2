"""One row for each loss and each transform, which tests run over."""
