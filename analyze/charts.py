"""Charts as static SVG, with colours that the page decides: one SVG serves light and dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import altair as alt
import vl_convert

from analyze.words import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

#: Colours in the charts that stand for the page's own.
_INK, _FAINT, _MAIN, _SECOND = "#010101", "#020202", "#030303", "#040404"
_COLOURS: Final = {_INK: "var(--ink)", _FAINT: "var(--line)", _MAIN: "var(--main)", _SECOND: "var(--second)"}
#: About as wide as a card ever is, so that letters are nowhere small.
_WIDTH: Final = 360
_BAR: Final = 24


def bars(
    rows: Iterable[tuple[str | None, float]], unit: str, words: Sequence[str], label: str, *, share: bool = False
) -> str:
    """Bars from left to right, each with its name before it and its number in words behind it.

    Args:
        unit: The title of the axis.
        words: The number of each bar in words.
        label: What the picture shows, for those who do not see it.
        share: The numbers are shares of 1.
    """
    names_given, numbers_given = zip(*rows, strict=True)
    values = [
        {"name": name, "value": value, "words": said}
        for name, value, said in zip(distinct(names_given), numbers_given, words, strict=True)
    ]
    names = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, ticks=False, domain=False))
    # The number in words needs room behind the longest bar.
    scale = alt.Scale(domain=[0, 1.25 * (max(each["value"] for each in values) or 1)])
    ticks = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%") if share else alt.Axis(tickCount=4, format="~s")
    base = alt.Chart(alt.Data(values=values))
    drawn = base.mark_bar(color=_MAIN, cornerRadiusEnd=3).encode(
        y=names, x=alt.X("value:Q", title=unit, scale=scale, axis=ticks)
    )
    numbers = base.mark_text(align="left", dx=4, color=_INK, fontSize=12).encode(
        y=names, x=alt.X("value:Q", scale=scale), text="words:N"
    )
    return _svg(alt.layer(drawn, numbers).properties(height=alt.Step(_BAR)), label)


def pairs(rows: Iterable[tuple[str, str, float]], unit: str, series: Sequence[str], label: str) -> str:
    """Two bars for each name, one of each series."""
    given = list(rows)
    names = list(dict.fromkeys(name for name, _, _ in given))
    values = [{"name": name, "series": kind, "value": value} for name, kind, value in given]
    drawn = (
        alt.Chart(alt.Data(values=values))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=180, ticks=False, domain=False)),
            yOffset=alt.YOffset("series:N", sort=list(series)),
            x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=4, format="~s")),
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=list(series), range=[_SECOND, _MAIN]),
                legend=alt.Legend(title=None, orient="top"),
            ),
        )
        .properties(height=alt.Step(14))
    )
    return _svg(drawn, label)


def line(rows: Iterable[tuple[date, float | None]], unit: str, label: str, *, share: bool = False) -> str:
    """A line over time."""
    values = [{"when": when.isoformat(), "value": value} for when, value in rows]
    form = alt.Axis(format=".0%", tickCount=5) if share else alt.Axis(tickCount=5, format="~s")
    months = alt.Axis(format="%b %Y", tickCount=4, labelFlush=True, grid=False, labelOverlap=True)
    drawn = (
        alt.Chart(alt.Data(values=values))
        .mark_area(line={"color": _MAIN, "strokeWidth": 2}, color=_MAIN, fillOpacity=0.15)
        .encode(
            x=alt.X("utcyearmonthdate(when):T", title=None, axis=months, scale=alt.Scale(type="utc")),
            y=alt.Y("value:Q", title=unit, axis=form, scale=alt.Scale(domainMin=0)),
        )
        .properties(height=200)
    )
    return _svg(drawn, label)


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
    return _svg(alt.layer(drawn, numbers).properties(height=alt.Step(_BAR)), label)


def distinct(names: Iterable[str | None]) -> list[str]:
    """The names short, and none of them twice although two people may have one."""
    seen: dict[str, int] = {}
    told_apart = []
    for said in map(short, names):
        seen[said] = seen.get(said, -1) + 1
        told_apart.append(said + "\u200b" * seen[said])
    return told_apart


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
