with moves as (
    select
        org_id, created_on as day, 1 as processes_started, 0 as processes_completed, 0 as tasks_created,
        0 as tasks_completed, 0 as tasks_on_time, 0 as tasks_completed_with_deadline, 1 as opened
    from {{ ref('process') }} where created_on is not null
    union all
    select org_id, completed_on, 0, 1, 0, 0, 0, 0, 0
    from {{ ref('process') }} where completed_on is not null
    union all
    -- No process ends before it was created, whatever its dates say.
    select org_id, greatest(created_on, coalesce(completed_on, {{ local_date('archived_at') }})), 0, 0, 0, 0, 0, 0, -1
    from {{ ref('process') }}
    where created_on is not null and outcome <> 'open'
    union all
    select org_id, {{ local_date('created_at') }}, 0, 0, 1, 0, 0, 0, 0
    from {{ ref('task') }} where created_at is not null and not is_skipped
    union all
    select
        org_id, completed_on, 0, 0, 0, 1, case when is_on_time then 1 else 0 end,
        case when is_on_time is not null then 1 else 0 end, 0
    from {{ ref('task') }} where is_completed
),

sums as (
    select
        org_id,
        day,
        sum(processes_started) as processes_started,
        sum(processes_completed) as processes_completed,
        sum(tasks_created) as tasks_created,
        sum(tasks_completed) as tasks_completed,
        sum(tasks_on_time) as tasks_on_time,
        sum(tasks_completed_with_deadline) as tasks_completed_with_deadline,
        sum(opened) as opened
    from moves
    group by org_id, day
),

days as (
    select firsts.org_id, calendar.day
    from (select org_id, min(day) as first_day from sums group by org_id) as firsts
    inner join {{ ref('calendar') }} as calendar
        on calendar.day >= firsts.first_day and calendar.day <= {{ local_date(as_of()) }}
)

select
    days.org_id,
    days.day,
    cast(coalesce(sums.processes_started, 0) as bigint) as processes_started,
    cast(coalesce(sums.processes_completed, 0) as bigint) as processes_completed,
    cast(coalesce(sums.tasks_created, 0) as bigint) as tasks_created,
    cast(coalesce(sums.tasks_completed, 0) as bigint) as tasks_completed,
    cast(coalesce(sums.tasks_on_time, 0) as bigint) as tasks_on_time,
    cast(coalesce(sums.tasks_completed_with_deadline, 0) as bigint) as tasks_completed_with_deadline,
    cast(sum(coalesce(sums.opened, 0)) over (partition by days.org_id order by days.day) as bigint) as processes_open
from days
left join sums on sums.org_id = days.org_id and sums.day = days.day
