"""What two epochs show, recorded once."""

import epoch_cases as cases
import pytest


@pytest.fixture(scope='session')
def recorded():
  return [cases.record('resident', 1, epoch) for epoch in range(2)]
