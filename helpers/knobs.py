"""The check that every knob which is a number goes through first."""

import math
from numbers import Real


def check_numbers(**knobs: float) -> None:
    """Raise unless every knob, given by its name, is a finite real number.

    Raises:
        TypeError: not a real number.
        ValueError: NaN or infinite.
    """
    for name, value in knobs.items():
        if not isinstance(value, Real):
            raise TypeError(f"{name}: expected a number, got {type(value).__name__}; give a number")
        if not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value}; give a number")
