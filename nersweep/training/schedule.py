"""The learning rate as a function of the step."""


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the factor of the peak learning rate at a step, in (0, 1].

    It rises linearly over the first share `warmup` of the steps, in [0, 1), and falls linearly to
    0 after the last one. step: from 0 to steps - 1.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    return (steps - step) / (steps - rising)
