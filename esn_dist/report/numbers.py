"""How a number is printed: the one formatter of every report, table, page and figure.

Rounds the decimal that the float's repr shows, halves away from zero; a rounded zero has no sign. Knows no layout.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

DASH = "–"  # an undefined value, never a zero
PRECISION = Context(prec=400)  # more digits than any float has


def decimal_text(value: float | Decimal | None, digits: int, *, signed: bool = False) -> str:
    """`-1.3` of −1.25 with one digit, `+2.0` where signed, `0.0` of −0.04, or a dash where undefined."""
    if value is None:
        return DASH
    rounded = _decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, PRECISION)
    if not rounded:
        return f"{abs(rounded):f}"
    return f"{rounded:+f}" if signed else f"{rounded:f}"


def percent_text(share: float | None, digits: int = 1) -> str:
    """`1.3 %` of 0.0125: the share is multiplied as a decimal, so that halves are exact."""
    return DASH if share is None else f"{decimal_text(100 * _decimal(share), digits)} %"


def fraction_text(fraction: float | Decimal) -> str:
    """`0.5 %` of 0.005, with as many digits as it has."""
    return f"{(100 * _decimal(fraction)).normalize():f} %"


def p_text(p: float | None) -> str:
    """`0.012`, `< 0.001`, or a dash."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else decimal_text(p, 3)


def _decimal(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))
