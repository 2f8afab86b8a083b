"""Stream maps whose expressions fail with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from singer_sdk.exceptions import MapExpressionError
from singer_sdk.mapper import CustomStreamMap, StreamMap
from typing_extensions import override


class ExplainedMap(CustomStreamMap):
    """A stream map whose expressions end with a sentence where they cannot be evaluated."""

    # Nothing is compiled again: the map that the SDK made lends all it has.
    def __init__(self, made: CustomStreamMap, stream: str) -> None:
        self.__dict__ = made.__dict__
        self._of = stream

    @override
    def transform(self, record: dict[str, Any]) -> dict[str, Any] | None:
        transformed: dict[str, Any] | None = self._explained(super().transform, record)
        return transformed

    @override
    def get_filter_result(self, record: dict[str, Any]) -> bool:
        return bool(self._explained(super().get_filter_result, record))

    def _explained(self, evaluate: Callable[[dict[str, Any]], Any], record: dict[str, Any]) -> Any:  # noqa: ANN401
        try:
            return evaluate(record)
        except MapExpressionError as error:
            why = str(error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            why = type(error).__name__  # its text may show a value
        raise MapExpressionError(
            f"A stream map of '{self._of}' failed ({why}); correct it under 'stream_maps'."
        ) from None


def explained(made: StreamMap, stream: str) -> StreamMap:
    """Return a stream map whose errors are sentences; one without expressions is returned as it is."""
    return ExplainedMap(made, stream) if type(made) is CustomStreamMap else made
