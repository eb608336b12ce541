"""Money: US dollars, added without losing any of them.

Owns the one unit that sums are kept in: 10**-12 dollars, of which a token costs a whole
number by any price that has at most six decimals for a million tokens. Sums of floats
drift, and a budget of one dollar is used up by ten Steps of ten cents.
"""

PICO = 10**12
MOST = 2**62
"""What a sum stops at: four million dollars."""


def picodollars(cost: float) -> int:
    """Return US dollars in the unit of sums."""
    return min(max(round(cost * PICO), 0), MOST)


def dollars(picos: int) -> float:
    """Return a sum in US dollars."""
    return picos / PICO


def added_cost(total: float | None, cost: float | None) -> float | None:
    """Return the sum of two costs in US dollars, exactly; None where neither is
    known."""
    if total is None or cost is None:
        return cost if total is None else total
    return dollars(min(picodollars(total) + picodollars(cost), MOST))
