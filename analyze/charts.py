"""Charts as static SVG, with colours that the page decides: one SVG serves light and dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import altair as alt
import vl_convert

from analyze.words import LONGEST, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

#: Colours in the charts that stand for the page's own.
_INK, _FAINT, _MAIN, _SECOND, _ALERT, _CARD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
_COLOURS: Final = {
    _INK: "var(--ink)",
    _FAINT: "var(--line)",
    _MAIN: "var(--main)",
    _SECOND: "var(--second)",
    _ALERT: "var(--alert)",
    _CARD: "var(--card)",
}
#: About as wide as a card ever is, so that letters are nowhere small; and as high as most charts are, so that cards
#: that stand side by side look alike.
_WIDTH: Final = 360
_HEIGHT: Final = 240
#: Rows of a heat map, pairs of bars, and the thinnest and thickest of bars, each with the space between them.
_ROW: Final = 24
_PAIR: Final = 40
_THIN, _THICK = 24, 34
#: Characters of the longest name that stands beside its bar, not above it.
_BESIDE: Final = 20
_ABOVE: Final = 50
_NAMES: Final = {"labelLimit": 180, "ticks": False, "domain": False}


def bars(
    rows: Iterable[tuple[str | None, float, str]], unit: str, label: str, *, share: bool = False, urgent: bool = False
) -> str:
    """Bars from left to right for the first rows, each with its number in words behind it.

    Names stand before the bars, or above them if one of them is long.

    Args:
        rows: The name, the number, and the number in words.
        unit: The title of the axis.
        label: What the picture shows, for those who do not see it.
        share: The numbers are shares of 1.
        urgent: Whether somebody has to act on what it shows.
    """
    given = list(rows)
    above = any(len(name or "") > _BESIDE for name, _, _ in given)
    thin = _THIN if not above else _THIN + 10
    shown = given[: _HEIGHT // thin]
    labels = distinct((name for name, _, _ in shown), _ABOVE if above else LONGEST)
    values = [
        {"name": name, "value": value, "words": words} for name, (_, value, words) in zip(labels, shown, strict=True)
    ]
    names = alt.Y("name:N", sort=None, title=None, axis=None if above else alt.Axis(**_NAMES))
    # The number in words needs room behind the longest bar: so much of its length for each character.
    room = 1.05 + (0.022 if above else 0.035) * max(len(words) for _, _, words in shown)
    scale = alt.Scale(domain=[0, room * (max(value for _, value, _ in shown) or 1)], nice=False)
    base = alt.Chart(alt.Data(values=values))
    placed, size = ({"yOffset": 8}, {"size": 12}) if above else ({}, {})
    colour = _ALERT if urgent else _MAIN
    drawn = base.mark_bar(color=colour, cornerRadiusEnd=3, **size, **placed).encode(
        y=names, x=alt.X("value:Q", title=unit, scale=scale, axis=_numbers(share=share, grid=not above))
    )
    numbers = base.mark_text(align="left", dx=4, color=_INK, fontSize=12, **placed).encode(
        y=names, x=alt.X("value:Q", scale=scale), text="words:N"
    )
    layers = [drawn, numbers]
    if above:
        written = base.mark_text(align="left", dy=-8, color=_INK, fontSize=12, limit=_WIDTH - 10)
        layers.append(written.encode(y=names, x=alt.value(0), text="name:N"))
    step = max(thin, min(_THICK, _HEIGHT / len(shown)))
    return _svg(alt.layer(*layers).properties(height=alt.Step(step)), label)


def pairs(rows: Iterable[tuple[str, str, float, str]], unit: str, series: Sequence[str], label: str) -> str:
    """Two bars for each name, one of each series, each with its number in words behind it."""
    given = list(rows)
    names = list(dict.fromkeys(name for name, *_ in given))
    values = [{"name": name, "series": kind, "value": value, "words": words} for name, kind, value, words in given]
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(**_NAMES))
    offset = alt.YOffset("series:N", sort=list(series))
    scale = alt.Scale(domain=[0, 1.2 * (max(value for _, _, value, _ in given) or 1)], nice=False)
    base = alt.Chart(alt.Data(values=values))
    drawn = base.mark_bar(cornerRadiusEnd=3).encode(
        y=y,
        yOffset=offset,
        x=alt.X("value:Q", title=unit, scale=scale, axis=_numbers()),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=list(series), range=[_SECOND, _MAIN]),
            legend=alt.Legend(title=None, orient="top"),
        ),
    )
    numbers = base.mark_text(align="left", dx=4, color=_INK, fontSize=11).encode(
        y=y, yOffset=offset, x=alt.X("value:Q", scale=scale), text="words:N"
    )
    return _svg(alt.layer(drawn, numbers).properties(height=_PAIR * len(names)), label)


def line(rows: Iterable[tuple[date, float | None]], unit: str, last: str, label: str, *, share: bool = False) -> str:
    """A line over time, with its last number in words at its end.

    Args:
        rows: The day, and the number; None interrupts the line.
        unit: The title of the axis.
        last: The last number in words.
        label: What the picture shows, for those who do not see it.
        share: The numbers are shares of 1.
    """
    given = list(rows)
    values = [{"when": when.isoformat(), "value": value} for when, value in given]
    months = alt.Axis(format="%b %Y", tickCount=4, labelFlush=True, grid=False, labelOverlap=True)
    x = alt.X("utcyearmonthdate(when):T", title=None, axis=months, scale=alt.Scale(type="utc"))
    # The last number needs room above the line.
    top = 1 if share else 1.15 * (max(value or 0 for _, value in given) or 1)
    y = alt.Y("value:Q", title=unit, axis=_numbers(share=share), scale=alt.Scale(domain=[0, top], nice=False))
    base = alt.Chart(alt.Data(values=values))
    drawn = base.mark_area(line={"color": _MAIN, "strokeWidth": 2}, color=_MAIN, fillOpacity=0.15).encode(x=x, y=y)
    end = alt.Chart(alt.Data(values=[each for each in values if each["value"] is not None][-1:])).encode(x=x, y=y)
    dot = end.mark_point(color=_MAIN, fill=_MAIN, size=40, opacity=1)
    written = {"align": "right", "dy": -14, "dx": 2, "fontSize": 14, "fontWeight": "bold", "text": last}
    # The line may pass behind the number.
    halo = end.mark_text(stroke=_CARD, strokeWidth=4, strokeJoin="round", **written)
    number = end.mark_text(color=_INK, **written)
    return _svg(alt.layer(drawn, dot, halo, number).properties(height=_HEIGHT - 20), label)


def heat_map(
    cells: Iterable[tuple[str, str, float]], names: tuple[str, str], orders: tuple[list[str], list[str]], label: str
) -> str:
    """A table whose cells are the darker the larger their number is; the number stands in each.

    Args:
        cells: Name down, name across, and number.
        names: What the rows are, and what the columns are.
        orders: The names down and the names across in order.
        label: What the picture shows, for those who do not see it.
    """
    values = [{"down": row, "across": column, "value": value} for row, column, value in cells]
    down, across = orders
    longest = max(map(len, across))
    bare = {"ticks": False, "domain": False}
    y = alt.Y("down:N", sort=down, title=names[0] or None, axis=alt.Axis(labelLimit=150, **bare))
    # Long names would leave the card at its right side.
    angle = 0 if longest <= len("Mon") else -90
    x = alt.X(
        "across:N", sort=across, title=names[1], axis=alt.Axis(orient="top", labelAngle=angle, labelLimit=130, **bare)
    )
    base = alt.Chart(alt.Data(values=values))
    # The colour stays light enough for the letters on it, in light and in dark.
    opacity = alt.FillOpacity("value:Q", scale=alt.Scale(range=[0.08, 0.5]), legend=None)
    drawn = base.mark_rect(fill=_MAIN, cornerRadius=2).encode(y=y, x=x, fillOpacity=opacity)
    text = alt.Text("value:Q", format=",")
    numbers = base.mark_text(color=_INK, fontSize=11).encode(y=y, x=x, text=text)
    return _svg(alt.layer(drawn, numbers).properties(height=alt.Step(_ROW)), label)


def distinct(names: Iterable[str | None], longest: int = LONGEST) -> list[str]:
    """The names short, and none of them twice although two people may have one."""
    seen: dict[str, int] = {}
    told_apart = []
    for said in (short(name, longest) for name in names):
        seen[said] = seen.get(said, -1) + 1
        told_apart.append(said + "\u200b" * seen[said])
    return told_apart


def _numbers(*, share: bool = False, grid: bool = True) -> alt.Axis:
    return alt.Axis(format=".0%" if share else "~s", tickCount=4, grid=grid)


def _svg(chart: alt.Chart | alt.LayerChart, label: str) -> str:
    look = {
        "labelColor": _INK,
        "titleColor": _INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    drawn = (
        chart.properties(width=_WIDTH, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"), padding=2)
        .configure(background="transparent", font="sans-serif", aria=False)
        .configure_axis(**look, gridColor=_FAINT, domainColor=_FAINT, tickColor=_FAINT, titlePadding=8)
        .configure_legend(labelColor=_INK, labelFontSize=12, symbolType="square")
        .configure_view(stroke=None)
    )
    svg: str = vl_convert.vegalite_to_svg(drawn.to_dict())
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    width, height = (float(found) for found in re.findall(r'(?:width|height)="([\d.]+)"', svg)[:2])
    inside = svg[svg.index(">") + 1 :]
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{_attribute(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{inside}'
    )


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
