"""The learning rate rises linearly, then falls linearly to nothing."""

import pytest

from nersweep.training.schedule import rate_factor


def test_it_rises_over_the_warmup_and_falls_to_nothing_after_the_last_step():
    factors = [rate_factor(step, 12, 0.25) for step in range(12)]
    assert factors == pytest.approx([1 / 4, 2 / 4, 3 / 4, *(k / 9 for k in range(9, 0, -1))])


def test_without_warmup_it_begins_at_the_peak():
    assert [rate_factor(step, 4, 0.0) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_it_is_never_zero_and_never_above_the_peak(steps):
    for warmup in (0.0, 0.1, 0.5, 0.99):
        for step in range(steps):
            assert 0 < rate_factor(step, steps, warmup) <= 1
