"""What the tests of adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maestro_es.adapters import spawner


@pytest.fixture(autouse=True)
def no_process_is_left_to_the_next_test() -> Iterator[None]:
    """Later tests would take a process that has ended for the runner of a step."""
    yield
    spawner.reap()
    spawner.take_ended()
