"""Slots that are computed: amounts, dates, references. Each is drawn from a generator given."""

from collections.abc import Callable
from random import Random

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_CURRENCY = ("${}", "{} USD", "EUR {}", "{} euros", "£{}", "CHF {}")


def _small_amount(rng: Random) -> str:
    """What a customer writes, such as "$42.10"."""
    return rng.choice(_CURRENCY).format(_plain(rng, 3, 900))


def payment_amount(rng: Random) -> str:
    """What an instruction says, such as "1250.00 USD"; no comma, which would read as two."""
    form = rng.choice(("${}", "${}", "{} USD", "{} euros", "£{}", "EUR {}"))
    return form.format(_plain(rng, 20, 9800))


def fee(rng: Random) -> str:
    """A small price, such as "$4"."""
    return f"${rng.randint(1, 25)}"


def limit(rng: Random) -> str:
    """A round sum, such as "$1500"."""
    return f"${rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30)) * 100}"


def days(rng: Random) -> str:
    """A waiting time, such as "3 business days"."""
    return f"{rng.randint(2, 14)} {rng.choice(('business days', 'days'))}"


def low_rate(rng: Random) -> str:
    """A charge or interest in percent, such as "2.5%"."""
    return _rate(rng, 1, 5)


def high_rate(rng: Random) -> str:
    """What borrowing costs in percent, such as "11.5%"."""
    return _rate(rng, 7, 18)


def date(rng: Random) -> str:
    """A day, one in five with its year; without a comma, which would read as two."""
    day, month = rng.randint(1, 28), rng.choice(_MONTHS)
    forms = (f"{day} {month}", f"{month} {day}", f"{day} {month} {rng.choice((2026, 2027))}")
    return rng.choices(forms, weights=(2, 2, 1))[0]


def rise(rng: Random) -> dict[str, str]:
    """Two sums of money in one form as ``lo`` and ``hi``, the second clearly the larger."""
    low = rng.randint(12, 600) / 10
    high = round(low * rng.uniform(1.2, 2.6), 1)
    form = rng.choice(("${}m", "{} million euros", "EUR {} million", "${} million", "£{}m"))
    return {"lo": form.format(low), "hi": form.format(high)}


def _rate(rng: Random, least: int, most: int) -> str:
    return f"{rng.randint(least, most)}{rng.choice(('', '.5'))}%"


def _small_fee(rng: Random) -> str:
    return rng.choice(_CURRENCY).format(_plain(rng, 2, 45))


def _plain(rng: Random, least: int, most: int) -> str:
    whole = rng.randint(least, most)
    cents = f".{rng.randint(1, 99):02}" if rng.random() < 0.2 else ""
    return f"{whole}{cents}"


def _reference(rng: Random) -> str:
    return f"{rng.choice('ABKMRT')}{rng.randint(100, 9999)}"


def _account(rng: Random) -> str:
    return f"{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"


def _percent(rng: Random) -> str:
    return f"{rng.randint(2, 39)}%"


def _money_zh(rng: Random) -> str:
    return f"{rng.choice((8, 12, 20, 35, 48, 60, 90, 150, 300, 720, 1200, 2600))}万元"


def _clock_zh(rng: Random) -> str:
    hour = rng.choice(("上午九点", "上午十点", "中午", "下午两点", "下午四点", "五点"))
    return hour + rng.choice(("", "半")) if hour != "中午" else hour


MADE: dict[str, Callable[[Random], str]] = {
    "amount": _small_amount,
    "small_fee": _small_fee,
    "limit": limit,
    "other_amount": payment_amount,
    "date": date,
    "other_date": date,
    "ref": _reference,
    "account": _account,
    "pct": _percent,
    "count": lambda rng: str(rng.choice((12, 40, 85, 120, 300, 640, 900, 2400))),
    "money": _money_zh,
    "clock": _clock_zh,
}
"""Slots by name, for patterns of any task that do not fix them."""
