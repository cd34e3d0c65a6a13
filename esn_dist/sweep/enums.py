"""The field's names as enums: selectors and units' steps."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The sorts of unit, in the order in which a sweep needs them."""

    ENCODE = "encode"
    IDENTIFY = "identify"
    SELECT = "select"
    ANSWER = "answer"
