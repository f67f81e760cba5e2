"""The error of files of weights."""


class WeightsError(ValueError):
  """A file of weights is missing, unfit or damaged; the message is one line."""
