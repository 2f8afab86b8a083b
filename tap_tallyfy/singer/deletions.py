"""Tells the target which rows are gone, and only when that is sure.

Singer's way is a version on every record, and an ACTIVATE_VERSION message: rows of an older version are deleted ones.
The SDK sends it before it reads anything, so that a sync which breaks off would delete what it never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Context

    from tap_tallyfy.singer.base import Member

#: The part of a list that must have been left since it was last read completely; a token that sees less is likelier.
_LEAST_LEFT: Final = 0.5
#: The key in a stream's state for the number of rows that the last complete reading found, by organization.
_ROWS: Final = "rows"


def sees_all(member: Member, floor: str) -> bool:
    """Return whether a reading that comes to its end will have shown every row of a stream.

    Args:
        member: The stream.
        floor: The second before which it leaves changes out, or `""`.
    """
    maps = (member.config.get("stream_maps") or {}).values()
    return not any(
        (
            member.version is None,
            member.append_only,
            member.replication_method != "FULL_TABLE",
            member.ABORT_AT_RECORD_COUNT is not None,  # `--test`
            floor,
            member.settings.get("archived", "include") != "include",
            member.filters.keys() - {"with"},
            any("__filter__" in map_ for map_ in maps if isinstance(map_, dict)),
            member.shares_a_table,
            member.get_batch_config(member.config),  # the files of a batch hold no versions
        )
    )


def losses(rows: Mapping[Member, int], context: Context | None) -> Iterator[str]:
    """Yield a sentence for each stream of a list that has lost too many rows to be believed.

    Args:
        rows: For each stream of a list the rows that a complete reading has shown.
        context: The partition, if any.
    """
    for member, found in rows.items():
        before = _rows(member, context).get(member.config["org_id"])
        if type(before) is int and found < before * _LEAST_LEFT:
            yield (
                f"'{member.name}' has shrunk from {before} to {found} rows, so no row made from its list is marked as"
                " deleted; check that the token may still see all of it, or sync once without a state to accept it"
                " (Meltano: `--full-refresh`)."
            )


def mark(member: Member, rows: int, context: Context | None) -> None:
    """Have the target mark the rows of a stream that this sync has not shown.

    Args:
        member: The stream, all of whose rows have been written.
        rows: Their number.
        context: The partition, if any.
    """
    member.write_version()
    member.get_context_state(context)[_ROWS] = {**_rows(member, context), member.config["org_id"]: rows}


def _rows(member: Member, context: Context | None) -> dict[str, Any]:
    known = member.get_context_state(context).get(_ROWS)
    return known if isinstance(known, dict) else {}
