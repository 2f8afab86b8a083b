"""Holds rows as the API sent them against the contract, and names departures by path and type, never by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.records.normalise import json_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    Record = dict[str, Any]

#: How many rows are held against the contract: checking one costs more than reading it.
_SAMPLE: Final = 20


def departures(contract_key: str, rows: Sequence[Record]) -> list[str]:
    """Return where rows depart from the contract, such as `owners.users.* (string against type)`.

    Args:
        contract_key: What the rows are in the contract.
        rows: Rows without the wrapping of related data; the first twenty are looked at.
    """
    validator = Draft202012Validator(CONTRACT.fetch_schema(contract_key))
    return sorted(
        {
            f"{'.'.join('*' if isinstance(part, int) else part for part in error.absolute_path) or 'record'}"
            f" ({json_type(error.instance)} against {error.validator})"
            for row in rows[:_SAMPLE]
            for error in validator.iter_errors(row)
            if error.instance != []  # PHP's empty object
        }
    )
