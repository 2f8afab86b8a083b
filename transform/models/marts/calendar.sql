-- Working time from one moment to another is two look-ups here, however many days lie between.
with moments as (
    select
        min(created_at) as first_creation,
        max(coalesce(completed_at, created_at)) as last_moment,
        max(due_date) as last_deadline,
        max(last_updated) as last_change
    from {{ ref('stg_runs') }}
    union all
    select min(created_at), max(coalesce(completed_at, created_at)), max(deadline), max(last_updated)
    from {{ ref('stg_tasks') }}
),

bounds as (
    select
        coalesce(min({{ local_date('first_creation') }}), {{ local_date(as_of()) }}) - 1 as first_day,
        greatest(
            max({{ local_date('last_moment') }}),
            max({{ local_date('last_deadline') }}),
            max({{ local_date('last_change') }}),
            {{ local_date(as_of()) }}
        ) + 31 as last_day
    from moments
),

days as (
    {{ days('first_day', 'last_day') }} from bounds
),

holidays as (
    select day, min({{ in_order('name') }}) as name
    from {{ ref('holidays') }}
    group by day
),

worked as (
    select
        days.day,
        cast(extract(isodow from days.day) as integer) as weekday,
        coalesce(holidays.name, case when holidays.day is not null then 'Holiday' end) as holiday,
        cast(case
            when holidays.day is null and extract(isodow from days.day) in ({{ (var('working_days') or [0]) | join(', ') }})
            then {{ ((var('working_hours')[1] - var('working_hours')[0]) * 3600) | int }}
            else 0
        end as bigint) as working_seconds
    from days
    left join holidays on holidays.day = days.day
)

select
    day,
    weekday,
    holiday,
    working_seconds,
    cast(coalesce(sum(working_seconds) over (order by day rows between unbounded preceding and 1 preceding), 0) as bigint)
        as working_seconds_before
from worked
