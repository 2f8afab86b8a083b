"""The cards of the page: which question, its answer in a sentence, and a chart or one large number."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analyze import charts
from analyze.words import WEEKDAYS, are, capitalised, count, days, number, percent, short, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyze.account import Row

_ROWS: Final = 10
_PAIRS: Final = 8
_NOT_LOADED: Final = "Comments were not loaded, so nobody knows. Select the stream <code>comments</code> to see them."


@dataclass(frozen=True)
class Answer:
    """The answer to a question: a sentence in HTML, and a chart (SVG) or one number to be shown large, or neither."""

    sentence: str
    chart: str = ""
    large: str = ""


def _overloaded(rows: list[Row]) -> Answer:
    if not rows:
        return Answer("Nobody has an open task.")
    first = rows[0]
    if not first["overdue_tasks"]:
        sentence = f"Nobody has an overdue task. {_b(first['name'])} has {count(first['open_tasks'], 'open task')}"
        return Answer(f"{sentence}, the most of all." if len(rows) > 1 else f"{sentence}.")
    late = sum(1 for row in rows if row["overdue_tasks"])
    sentence = (
        f"{_b(first['name'])} has {count(first['open_tasks'], 'open task')}, "
        f"{first['overdue_tasks']:,} of them overdue. "
        f"{count(late, 'person', 'people')} in all {'has' if late == 1 else 'have'} overdue tasks."
    )
    bars = [
        (row["name"], row["overdue_tasks"], f"{row['overdue_tasks']:,} of {row['open_tasks']:,}")
        for row in rows
        if row["overdue_tasks"]
    ]
    return Answer(sentence, charts.bars(bars, "Overdue tasks, of open ones", "Overdue tasks by person", urgent=True))


def _stalled(rows: list[Row]) -> Answer:
    if not rows:
        return Answer("No process has stalled.")
    oldest = rows[0]
    waits = _most([row["waits_for"] for row in rows if row["waits_for"]])
    sentence = (
        f"{count(len(rows), 'open process', 'open processes')} {'has' if len(rows) == 1 else 'have'} not moved lately. "
        f"The oldest, {_b(oldest['process_name'])}, was launched {span(oldest['age_days'])} ago"
        + (f". More wait for {_b(waits)} than for anybody else." if waits else ".")
    )
    bars = [(row["process_name"], row["age_days"], number(row["age_days"])) for row in rows]
    return Answer(sentence, charts.bars(bars, "Days since launch", "Oldest stalled processes", urgent=True))


def _slowest(rows: list[Row]) -> Answer:
    known = [row for row in rows if row["longest_open_days"] is not None]
    if not known:
        return Answer("No step is waiting for anybody.")
    first = known[0]
    usual = first["median_days_waited"]
    sentence = f"A task of {_step(first)} has waited for {span(first['longest_open_days'])}" + (
        f"; usually this step takes {span(usual)}." if usual is not None else "."
    )
    bars = [(name, row["longest_open_days"], number(row["longest_open_days"])) for name, row in _named_steps(known)]
    return Answer(sentence, charts.bars(bars, "Longest wait in days", "Steps by their longest wait", urgent=True))


def _on_time(rows: list[Row]) -> Answer:
    if not rows or rows[0]["share"] is None:
        return Answer("No task with a deadline was completed yet.")
    row = rows[0]
    sentence = f"{row['on_time']:,} of {count(row['with_deadline'], 'completed task')} with a deadline were on time."
    return Answer(sentence, large=percent(row["share"]))


def _throughput(rows: list[Row]) -> Answer:
    last, before = (rows[0]["last_30_days"], rows[0]["previous_30_days"]) if rows else (0, 0)
    if not last and not before:
        return Answer("No process was completed in the last 60 days.")
    change = "as many as" if last == before else f"{abs(last - before):,} {'more' if last > before else 'fewer'} than"
    sentence = f"{count(last, 'process', 'processes')} {'was' if last == 1 else 'were'} completed in the last 30 days, "
    return Answer(f"{sentence}{change} in the 30 days before.", large=f"{last:,}")


def _by_month(rows: list[Row]) -> Answer:
    known = [row for row in rows if row["share"] is not None]
    if not known:
        return Answer("No task with a deadline was completed yet.")
    last, before = known[-1], known[-2] if len(known) > 1 else None
    now = f"of the tasks completed in {last['month']:%B %Y}, {percent(last['share'])} were on time"
    if before:
        change = round(100 * last["share"]) - round(100 * before["share"])
        how = "Yes" if change > 0 else "No" if change < 0 else "It stays the same"
        sentence = f"{how}: {now}, after {percent(before['share'])} in {before['month']:%B}."
    else:
        sentence = capitalised(f"{now}.")
    line = [(row["month"], row["share"]) for row in rows]
    label = "Share of tasks on time by month"
    return Answer(sentence, charts.line(line, "Tasks on time", percent(last["share"]), label, share=True))


def _work_done(rows: list[Row]) -> Answer:
    if not any(row["tasks_completed"] for row in rows):
        return Answer("No task was completed yet.")
    last, before = rows[-1]["week_average"], rows[-29 if len(rows) > 28 else 0]["week_average"]  # noqa: PLR2004
    sentence = (
        f"In the last week, {number(last)} tasks a day were completed; four weeks earlier it was {number(before)}."
    )
    line = [(row["day"], row["week_average"]) for row in rows]
    return Answer(sentence, charts.line(line, "Tasks a day, mean of a week", number(last), "Completed tasks a day"))


def _backlog(rows: list[Row]) -> Answer:
    if not rows:
        return Answer("There are no processes yet.")
    last, before = rows[-1]["processes_open"], rows[-31 if len(rows) > 30 else 0]["processes_open"]  # noqa: PLR2004
    change = "as many as" if last == before else f"{abs(last - before):,} {'more' if last > before else 'fewer'} than"
    sentence = f"{count(last, 'process', 'processes')} {are(last)} open, {change} 30 days ago."
    line = [(row["day"], row["processes_open"]) for row in rows]
    return Answer(sentence, charts.line(line, "Open processes", f"{last:,}", "Open processes by day"))


def _by_person(rows: list[Row]) -> Answer:
    if not rows:
        return Answer("Nobody has completed 20 tasks with a deadline yet.")
    worst, best = rows[0], rows[-1]
    sentence = f"{_b(worst['name'])} is on time least often, with {percent(worst['share'])} of the tasks"
    if best is not worst:
        sentence += f"; {_b(best['name'])} most often, with {percent(best['share'])}"
    bars = [(row["name"], row["share"], percent(row["share"])) for row in rows]
    label = "Share on time by person, lowest first"
    return Answer(f"{sentence}.", charts.bars(bars, "Tasks on time", label, share=True))


def _weekdays(rows: list[Row]) -> Answer:
    if not rows:
        return Answer("No step was ever late.")
    totals: dict[str, int] = defaultdict(int)
    by_day: dict[int, int] = defaultdict(int)
    for row in rows:
        totals[row["step_id"]] += row["late"]
        by_day[row["weekday"]] += row["late"]
    steps = sorted(totals, key=lambda step: (-totals[step], step))[:_ROWS]
    late = sum(by_day.values())
    worst = max(by_day, key=lambda day: (by_day[day], -day))
    named = {row["step_id"]: row for row in rows}
    names = [name for name, _ in _named_steps([named[step] for step in steps])]
    labels = dict(zip(steps, charts.distinct(names), strict=True))
    cells = [
        (labels[step], WEEKDAYS[row["weekday"] - 1][:3], row["late"])
        for step in steps
        for row in rows
        if row["step_id"] == step
    ]
    sentence = (
        f"The step that is late most often is {_step(named[steps[0]])}. Of {count(late, 'late task')} in all, "
        f"{by_day[worst]:,} were due on a {_b(WEEKDAYS[worst - 1])}"
        + (", more than on any other day." if len(by_day) > 1 else ".")
    )
    orders = list(labels.values()), [day[:3] for day in WEEKDAYS]
    chart = charts.heat_map(cells, ("", "Late tasks by day due"), orders, "Late tasks by step and weekday")
    return Answer(sentence, chart)


def _issues(rows: list[Row]) -> Answer:
    return _said(rows, "issues", "issue", "reported", "Issues by step")


def _discussed(rows: list[Row]) -> Answer:
    return _said(rows, "comments", "comment", "written", "Comments by step")


def _said(rows: list[Row], column: str, what: str, done: str, label: str) -> Answer:
    if any(row[column] is None for row in rows):
        return Answer(_NOT_LOADED)
    some = [row for row in rows if row[column]]
    if not some:
        return Answer(f"No {what} was {done}.")
    total, first = sum(row[column] for row in some), some[0]
    sentence = (
        f"{count(total, what)} {'was' if total == 1 else 'were'} {done}, {first[column]:,} of them on {_step(first)}."
    )
    bars = [(name, row[column], f"{row[column]:,}") for name, row in _named_steps(some)]
    return Answer(sentence, charts.bars(bars, f"{what.capitalize()}s", label))


def _by_answer(rows: list[Row]) -> Answer:
    fields: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["median_cycle_days"] is not None:
            fields[row["field_id"]].append(row)
    several = [found for found in fields.values() if len(found) > 1]
    if not several:
        return Answer("No question of a kick-off form has two answers to compare yet.")

    def spread(found: list[Row]) -> tuple[float, str]:
        durations = [row["median_cycle_days"] for row in found]
        return max(durations) - min(durations), found[0]["field_id"]

    differing = max(several, key=spread)
    widest = sorted(differing, key=lambda row: (-row["median_cycle_days"], row["answer"]))
    slow, quick = widest[0], widest[-1]
    sentence = (
        f"It does most in {_b(slow['template_name'])}: if {_b(slow['question'])} is {_b(slow['answer'])}, a "
        f"process usually takes {span(slow['median_cycle_days'])}; if it is {_b(quick['answer'])}, "
        f"{span(quick['median_cycle_days'])}."
    )
    bars = [(row["answer"], row["median_cycle_days"], number(row["median_cycle_days"])) for row in widest]
    return Answer(sentence, charts.bars(bars, "Usual days from launch to completion", "Days by answer"))


def _working_time(rows: list[Row]) -> Answer:
    known = [row for row in rows if row["median_hours"] and row["median_working_hours"] is not None]
    if not known:
        return Answer("No process was completed yet.")
    longest = max(known, key=lambda row: (row["median_hours"], row["checklist_id"]))
    sentence = (
        f"{_b(longest['template_name'])} usually takes {number(longest['median_hours'])} hours from launch to "
        f"completion, {number(longest['median_working_hours'])} of them within working hours."
    )
    series = ("All hours", "Working hours")
    labels = charts.distinct([row["template_name"] for row in known[:_PAIRS]])
    both = [
        (name, kind, row[column], number(row[column]))
        for name, row in zip(labels, known, strict=False)
        for kind, column in zip(series, ("median_hours", "median_working_hours"), strict=True)
    ]
    return Answer(sentence, charts.pairs(both, "Usual hours", series, "All hours and working hours by template"))


def _variants(rows: list[Row]) -> Answer:
    ways = [row for row in rows if row["path"]]
    if not ways:
        return Answer("No process with tasks was completed yet.")
    busiest = _busiest(ways)
    found = [row for row in ways if row["checklist_id"] == busiest]
    first = found[0]
    sentence = (
        f"{percent(first['share_of_template'])} of the completed processes of {_b(first['template_name'])} go the same "
        f"way: {_b(first['path'].replace(' > ', ' → '))}. It usually takes {days(first['median_cycle_days'])}."
    )
    bars = [
        (
            _way(row, first),
            row["share_of_template"],
            f"{percent(row['share_of_template'])}, {days(row['median_cycle_days'])}",
        )
        for row in found
    ]
    label = f"Most frequent ways through {first['template_name']}, and how long they take"
    return Answer(sentence, charts.bars(bars, "Share of the completed processes", label, share=True))


def _follows(rows: list[Row]) -> Answer:
    if not rows:
        return Answer("Nothing has followed anything yet.")
    busiest = _busiest(rows)
    found = [row for row in rows if row["checklist_id"] == busiest]
    timed = [row for row in found if row["median_days"] is not None]
    slow = max(timed or found, key=lambda row: (row["median_days"] or 0, row["activity"], row["next_activity"]))
    sentence = (
        f"In {_b(slow['template_name'])}, most time passes from {_b(slow['activity'])} to "
        f"{_b(slow['next_activity'])}: usually {span(slow['median_days'] or 0)}."
    )
    cells = [(short(row["activity"]), short(row["next_activity"]), row["processes"]) for row in found]
    order = _in_flow(cells)
    label = f"What follows what in {slow['template_name']}"
    names = "First", "Then, with the number of times"
    return Answer(sentence, charts.heat_map(cells, names, (order[:-1], order[1:]), label))


def _in_flow(moves: list[tuple[str, str, float]]) -> list[str]:
    """The activities in the order in which most processes go through them, from launch to completion."""
    ends = ("Process launched", "Process completed")
    order, left = [ends[0]], {name for move in moves for name in move[:2]}.difference(ends)
    while left:
        behind = [move for move in moves if move[1] in left]
        following = [move for move in behind if move[0] == order[-1]] or behind
        busiest = max(following, key=lambda move: (move[2], move[1]), default=None)
        order.append(busiest[1] if busiest else min(left))
        left.remove(order[-1])
    return [*order, ends[1]]


def _way(row: Row, usual: Row) -> str:
    """How a way differs from the most frequent one, since whole ways are too long to stand beside a bar."""
    steps, others = row["path"].split(" > "), usual["path"].split(" > ")
    if row is usual:
        return "The usual way"
    more = [step for step in dict.fromkeys(steps) if steps.count(step) > others.count(step)]
    less = [step for step in dict.fromkeys(others) if others.count(step) > steps.count(step)]
    said = [f"{step} again" if step in others else f"with {step}" for step in more]
    said += [f"without {step}" for step in less]
    # In another order: the first step that comes before one that it usually comes after.
    kept, usually = ([step for step in path if step not in {*more, *less}] for path in (steps, others))
    said += [f"{step} earlier" for step, other in zip(kept, usually, strict=True) if step != other][:1]
    return capitalised(", ".join(said))


def _busiest(rows: list[Row]) -> str:
    """The template that most processes are of."""
    totals: dict[str, int] = defaultdict(int)
    for row in rows:
        totals[row["checklist_id"]] += row["processes"]
    return max(totals, key=lambda key: (len([r for r in rows if r["checklist_id"] == key]) > 1, totals[key], key))


def _most(names: list[str]) -> str | None:
    return max(sorted(set(names)), key=names.count) if names else None


def _b(text: str | None) -> str:
    escaped = (text or "no name").replace("&", "&amp;").replace("<", "&lt;")
    return f"<b>{escaped}</b>"


def _named_steps(rows: list[Row]) -> list[tuple[str, Row]]:
    """Steps by name, and with the template where steps of two templates have one name."""
    names = [row["step_name"] for row in rows]
    return [
        (f"{name}, {row['template_name']}" if names.count(name) > 1 else name, row)
        for name, row in zip(names, rows, strict=True)
    ]


def _step(row: Row) -> str:
    return f"{_b(row['step_name'])} in {_b(row['template_name'])}"


CARDS: Final[dict[str, Callable[[list[Row]], Answer]]] = {
    # What needs somebody to act
    "overloaded_people": _overloaded,
    "stalled_processes": _stalled,
    "tasks_on_time": _on_time,
    "throughput": _throughput,
    "slowest_steps": _slowest,
    # Whether it gets better
    "on_time_by_month": _by_month,
    "open_processes_by_day": _backlog,
    "tasks_completed_by_day": _work_done,
    "on_time_by_person": _by_person,
    "late_steps_by_weekday": _weekdays,
    "steps_with_issues": _issues,
    "most_discussed_steps": _discussed,
    # Which ways it goes
    "elapsed_and_working_time": _working_time,
    "cycle_time_by_answer": _by_answer,
    "process_variants": _variants,
    "what_follows_what": _follows,
}
"""A card for each view, in the order of the page."""
