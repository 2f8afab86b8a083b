with promises as (
    select
        org_id, 'task' as object_type, task_id as object_id, run_id, checklist_id, template_name, step_id, step_name,
        case when is_completed then completed_by else assignee_names end as who,
        deadline as due_at, case when is_completed then completed_at end as done_at, is_overdue
    from {{ ref('task') }}
    where deadline is not null and (is_completed or is_open)
    union all
    select
        org_id, 'process', run_id, run_id, checklist_id, template_name, cast(null as text), cast(null as text),
        owner_name, due_date, completed_at, is_overdue
    from {{ ref('process') }}
    where due_date is not null and outcome <> 'cancelled'
),

states as (
    select
        *,
        case
            when done_at <= due_at then 'met'
            when done_at > due_at then 'missed'
            when is_overdue then 'breached'
            else 'running'
        end as state,
        case when done_at > due_at then done_at when done_at is null and is_overdue then {{ as_of() }} end as late_until
    from promises
)

select
    states.org_id,
    states.object_type,
    states.object_id,
    states.run_id,
    states.checklist_id,
    states.template_name,
    states.step_id,
    states.step_name,
    states.who,
    states.due_at,
    states.done_at,
    states.state,
    {{ days_between('states.due_at', 'states.late_until') }} as days_late,
    {{ working_hours_between('states.due_at', 'due_day', 'states.late_until', 'late_day') }} as working_hours_late
from states
left join {{ ref('calendar') }} as due_day on due_day.day = {{ local_date('states.due_at') }}
left join {{ ref('calendar') }} as late_day on late_day.day = {{ local_date('states.late_until') }}
