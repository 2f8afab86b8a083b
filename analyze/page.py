"""The page: one HTML file that needs no server, no script and no request."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from analyze.cards import CARDS
from analyze.words import day, exact, heading, shown

if TYPE_CHECKING:
    from analyze.account import Account, View

#: Rows of a view that the page holds: of days the last ones, else the first.
_ROWS: Final = 200
_DAYS: Final = 366
#: Two cards that follow each other, each with a number and no chart; where there is room they share a cell.
_PAIR: Final = ("tasks_on_time", "throughput")

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2530; --soft: #5b6673; --page: #f3f5f7; --card: #fff; --line: #dde2e8;
  --main: #2f6fde; --second: #9db4d6; --alert: #d2562a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #a3aebb; --page: #12171d; --card: #1b222b;
  --line: #333d49; --main: #6ea2ff; --second: #51647f; --alert: #f58a5c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 1320px; margin: 0 auto; padding: 0 12px; }
header { padding-top: 28px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
header p, footer { color: var(--soft); margin: 6px 0 18px; }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 14px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px;
  min-width: 0; overflow-wrap: anywhere; display: flex; flex-direction: column; }
h2 { font-size: 17px; line-height: 1.3; margin: 0 0 4px; }
section > p { margin: 0 0 12px; }
.pair { display: contents; }
.large { font-size: 68px; line-height: 1; font-weight: 650; color: var(--main); margin: auto 0; padding: 8px 0;
  letter-spacing: -0.02em; }
svg { display: block; width: 100%; height: auto; margin-bottom: 10px; }
details { margin-top: auto; }
summary { cursor: pointer; color: var(--soft); font-size: 14px; }
.rows { overflow: auto; max-height: 320px; margin-top: 8px; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
td.wide { white-space: normal; min-width: 180px; }
td.number, th.number { text-align: right; }
@media (min-width: 700px) { main { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (min-width: 1120px) { main { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px; }
  header, main, footer { padding: 0 16px; } header { padding-top: 28px; }
  .pair { display: flex; flex-direction: column; gap: 16px; } .pair section { flex: 1; } }
@media print { body { background: none; } section { break-inside: avoid; } details { display: none; } }
"""


def page(account: Account) -> str:
    """The whole page of an organization."""
    organization = account.organization
    name = organization["name"] or organization["org_id"]
    cards = "\n".join(_card(account.views[view]) for view in CARDS)
    changed = organization["last_change_at"]
    fresh = f"; the last change in Tallyfy was on {day(changed)}" if changed else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(name)}: how the work goes</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(name)}: how the work goes</h1>
<p>As of {day(organization["as_of"])}{fresh}. Time zone: {escape(organization["timezone_of_days"])}.</p>
</header>
<main>
{cards}
</main>
<footer>
<p>“Usually” is the median: half of the processes or tasks take longer. Each card is a view in the schema
<code>analytics</code>; docs/metrics.md says what its numbers mean.</p>
</footer>
</body>
</html>
"""


def _card(view: View) -> str:
    answer = CARDS[view.name](view.rows)
    picture = answer.chart or (f'<div class="large">{escape(answer.large)}</div>' if answer.large else "")
    before, after = (
        ('<div class="pair">\n' if view.name == _PAIR[0] else ""),
        ("\n</div>" if view.name == _PAIR[1] else ""),
    )
    return (
        f'{before}<section data-view="{view.name}">\n<h2>{escape(view.question)}</h2>\n<p>{answer.sentence}</p>\n'
        f"{picture}\n{_table(view)}</section>{after}"
    )


def _table(view: View) -> str:
    if not view.rows:
        return ""
    # People read names; the IDs are in the view.
    columns = [column for column in view.columns if not column.endswith("_id")]
    by_day = "day" in columns or "month" in columns
    rows = view.rows[-_DAYS:] if by_day else view.rows[:_ROWS]
    numeric = {
        column
        for column in columns
        if any(isinstance(row[column], int | float) for row in rows) and column != "weekday"
    }
    head = "".join(
        f'<th scope="col" data-column="{column}"{_kind(column in numeric)}>{escape(heading(column))}</th>'
        for column in columns
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-value="{escape(exact(row[column]))}"{_kind(column in numeric, _is_long(row[column]))}>'
            f"{escape(shown(column, row[column]))}</td>"
            for column in columns
        )
        + "</tr>"
        for row in rows
    )
    which, what = ("last", "days") if by_day else ("first", "rows")
    summary = "The numbers" if len(rows) == len(view.rows) else f"The numbers of the {which} {len(rows):,} {what}"
    return (
        f"<details><summary>{summary}</summary>\n"
        f'<div class="rows" tabindex="0" role="region" aria-label="{escape(view.question)} The numbers">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></details>\n"
    )


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > 28  # noqa: PLR2004 - about what fits into a narrow column


def _kind(numeric: bool, wide: bool = False) -> str:
    return ' class="number"' if numeric else ' class="wide"' if wide else ""
