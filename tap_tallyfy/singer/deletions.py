"""Tells the target which rows are gone, and only when that is sure.

Singer's way is a version on every record, and an ACTIVATE_VERSION message: rows of an older version are deleted ones.
The SDK sends it before it reads anything, so a sync that breaks off would delete rows it never read. Here it
follows a reading that has shown every row. A token that sees less, or another user's, would mark rows that
exist; so each list is held against the last complete reading.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any, Final

from singer_sdk.exceptions import FatalSyncError

from tap_tallyfy.reading.paginator import BOTTOM
from tap_tallyfy.singer.base import TallyfyStream

#: Lists of up to so many rows may lose all of them: people do delete three tags.
_UNGUARDED: Final = 20
#: IDs that are kept of a list, to see whether it still shows the same records.
_SKETCH: Final = 64
_BYTES: Final = 4
#: A list shows other records than before if these would be more than one in so many.
_STRANGERS: Final = 8


class ShrunkError(FatalSyncError):
    """A list has lost so many rows that it is not believed; none of them is marked as deleted."""


def covers_every_row(stream: TallyfyStream, floor: float) -> bool:
    """Return whether a reading from the floor on that comes to its end will have shown every row of a stream."""
    maps = (stream.config.get("stream_maps") or {}).values()
    return not any(
        (
            stream.append_only,
            floor > BOTTOM,
            stream.settings.get("archived", "include") != "include",
            stream.filters.keys() - {"with"},
            any("__filter__" in map_ for map_ in maps if isinstance(map_, dict)),
            stream.shares_a_table,
            stream.get_batch_config(stream.config),  # the files of a batch hold no versions
        )
    )


class Tally:
    """Counts the records of one list, and holds them against those of an earlier reading.

    The sketch is the smallest hashes of their IDs: a sample that is the same for the same records, in any order.
    """

    def __init__(self, known: object) -> None:  # the `note` of an earlier reading; anything else is none
        known = known if isinstance(known, dict) else {}
        most, sketch = known.get("most"), known.get("ids")
        self.rows = 0  #: Records so far.
        self._most: int = most if type(most) is int else 0
        self._known = _unpacked(sketch) if isinstance(sketch, str) else frozenset()
        self._met: set[int] = set()
        self._sketch: set[int] = set()
        self._bound = math.inf  # hashes that are smaller belong to the sketch

    def add(self, identity: object) -> None:
        """Count a record."""
        self.rows += 1
        hashed = zlib.crc32(str(identity).encode("utf-8", "surrogatepass"))
        if hashed in self._known:
            self._met.add(hashed)
        if hashed < self._bound:
            self._sketch.add(hashed)
            if len(self._sketch) > _SKETCH:
                self._bound = max(self._sketch)
                self._sketch.remove(self._bound)

    @property
    def loss(self) -> str:
        """Why the list is not believed, or `""`."""
        if self._most <= _UNGUARDED:
            return ""
        if self.rows < self._most / 2:
            return f"has shrunk from {self._most} to {self.rows} rows"
        if not self._known:
            return ""
        # Where others stand in for the records that are gone, a sample shows half of them missing with its scatter.
        strangers = self.rows - self._most * len(self._met) / len(self._known)
        needed = len(self._known) / 2 + (math.sqrt(len(self._known)) if strangers > self._most / _STRANGERS else 0)
        if len(self._met) < needed:
            share = round(100 * len(self._met) / len(self._known))
            return f"shows only about {share} % of the records that it showed before"
        return ""

    def note(self) -> dict[str, Any]:
        """Return the most rows so far and the sketch, to be kept for the next reading."""
        packed = b"".join(hashed.to_bytes(_BYTES, "big") for hashed in sorted(self._sketch))
        most = {"most": max(self._most, self.rows)}
        return {**most, "ids": base64.b64encode(packed).decode()} if packed else most


def _unpacked(sketch: str) -> frozenset[int]:
    try:
        packed = base64.b64decode(sketch, validate=True)
    except ValueError:
        return frozenset()
    return frozenset(
        int.from_bytes(packed[start : start + _BYTES], "big") for start in range(0, len(packed) - _BYTES + 1, _BYTES)
    )
