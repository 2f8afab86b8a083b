"""Counts the rows of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from singer_sdk import metrics
from typing_extensions import Self, override

if TYPE_CHECKING:
    from types import TracebackType

    from tap_tallyfy.singer.progress import Progress

#: How many rows go by before progress is looked at, since a look costs more than a row.
_ROWS_BETWEEN_LOOKS: Final = 1000


class RowCounter(metrics.Counter):
    """Counts a stream's rows as the SDK does, and lets the progress follow."""

    def __init__(self, stream: str, progress: Progress) -> None:
        """Start at 0.

        Args:
            stream: The stream's name.
            progress: What follows.
        """
        super().__init__(metrics.Metric.RECORD_COUNT, {metrics.Tag.STREAM: stream})
        self._stream = stream
        self._progress = progress
        self._new = 0

    @override
    def __enter__(self) -> Self:
        self._progress.begin(self._stream)
        return super().__enter__()

    @override
    def increment(self, value: int = 1) -> None:
        self._new += value
        if self._new >= _ROWS_BETWEEN_LOOKS:
            self._look()

    @override
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._look()
        self._progress.end(complete=exc_type is None)
        super().__exit__(exc_type, exc_val, exc_tb)

    def _look(self) -> None:
        super().increment(self._new)
        self._progress.wrote(self._new)
        self._new = 0
