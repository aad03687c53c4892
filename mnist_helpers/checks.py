"""Values that can't be used are refused where they are named, with a sentence."""

import math


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise TypeError or ValueError unless the value is a whole number, `least` or above."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, but it is {value!r}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, but it is {value!r}")


def check_number(
    name: str, value: object, *, most: float = math.inf, positive: bool = False
) -> None:
    """Raise TypeError or ValueError unless the value is a finite number from 0 to `most`; 0 itself
    is refused, too, where it must be `positive`."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number, but it is {value!r}")
    if not 0 <= value <= most or math.isinf(value) or (positive and value == 0):
        finite = "a finite number above 0" if positive else "a finite number, not below 0"
        bounds = finite if math.isinf(most) else f"from 0 to {most}"
        raise ValueError(f"{name} must be {bounds}, but it is {value!r}")
