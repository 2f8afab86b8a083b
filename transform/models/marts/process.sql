with tasks as (
    select
        org_id,
        run_id,
        {{ count_if('not is_skipped') }} as tasks,
        {{ count_if('is_completed') }} as tasks_completed,
        {{ count_if('is_open') }} as tasks_open,
        {{ count_if('is_overdue') }} as tasks_overdue,
        {{ share(count_if('is_on_time'), count_if('is_on_time is not null')) }} as share_on_time,
        {{ total('comments') }} as comments,
        {{ total('issues_reported') }} as issues_reported,
        {{ total('issues_resolved') }} as issues_resolved,
        max(case when is_completed then completed_at end) as last_completion,
        string_agg(case when is_waiting then step_name end, ', ' order by position, {{ in_order('task_id') }}) as current_steps
    from {{ ref('task') }}
    where run_id is not null
    group by org_id, run_id
),

waited_for as (
    select task.org_id, task.run_id, owner.owner_type, owner.owner_id, owner.owner_name, min(task.position) as position
    from {{ ref('task') }} as task
    inner join {{ ref('task_owner') }} as owner on owner.org_id = task.org_id and owner.task_id = task.task_id
    where task.is_waiting and task.run_id is not null
    group by task.org_id, task.run_id, owner.owner_type, owner.owner_id, owner.owner_name
),

assignees as (
    select
        org_id,
        run_id,
        string_agg(owner_name, ', ' order by
            position, {{ in_order('owner_name') }}, {{ in_order('owner_type') }}, {{ in_order('owner_id') }}
        ) as waits_for
    from waited_for
    group by org_id, run_id
),

tags as (
    select
        run_tags.org_id,
        run_tags.run_id,
        string_agg(tags.title, ', ' order by {{ in_order('tags.title') }}, {{ in_order('tags.id') }}) as tags
    from {{ ref('stg_run_tags') }} as run_tags
    inner join {{ ref('stg_tags') }} as tags on tags.org_id = run_tags.org_id and tags.id = run_tags.tag_id
    group by run_tags.org_id, run_tags.run_id
),

runs as (
    select
        *,
        case
            when completed_at is not null then 'complete'
            when archived_at is not null then 'cancelled'
            else 'open'
        end as outcome
    from {{ ref('stg_runs') }}
)

select
    runs.org_id,
    runs.id as run_id,
    runs.increment_id,
    runs.name as process_name,
    runs.checklist_id,
    coalesce(runs.checklist_title, checklists.title) as template_name,
    runs.type as process_type,
    runs.status,
    runs.archived_at is not null as is_archived,
    runs.outcome,
    runs.owner_id,
    coalesce(owner.name, cast(runs.owner_id as text)) as owner_name,
    owner.team as owner_team,
    runs.started_by,
    coalesce(starter.name, cast(runs.started_by as text)) as started_by_name,
    runs.parent_id,
    runs.created_at,
    runs.started_at,
    runs.completed_at,
    runs.archived_at,
    runs.due_date,
    runs.last_updated,
    {{ local_date('runs.created_at') }} as created_on,
    {{ local_date('runs.completed_at') }} as completed_on,
    coalesce(tasks.tasks, 0) as tasks,
    coalesce(tasks.tasks_completed, 0) as tasks_completed,
    coalesce(tasks.tasks_open, 0) as tasks_open,
    coalesce(tasks.tasks_overdue, 0) as tasks_overdue,
    runs.late_tasks as late_tasks_by_tallyfy,
    {{ share('tasks.tasks_completed', 'tasks.tasks') }} as share_completed,
    tasks.share_on_time,
    {{ if_loaded('comments', 'coalesce(tasks.comments, 0)') }} as comments,
    {{ if_loaded('comments', 'coalesce(tasks.issues_reported, 0)') }} as issues_reported,
    {{ if_loaded('comments', 'coalesce(tasks.issues_resolved, 0)') }} as issues_resolved,
    tasks.current_steps,
    assignees.waits_for,
    tags.tags,
    {{ days_between('runs.created_at', 'runs.completed_at') }} as cycle_days,
    {{ working_hours_between('runs.created_at', 'created_day', 'runs.completed_at', 'completed_day') }} as cycle_working_hours,
    case when runs.outcome = 'open' then {{ days_between('runs.created_at', as_of()) }} end as age_days,
    runs.completed_at <= runs.due_date as is_on_time,
    coalesce(runs.outcome = 'open' and runs.due_date < {{ as_of() }}, false) as is_overdue,
    coalesce(
        runs.outcome = 'open'
        and {{ days_between('greatest(coalesce(runs.last_updated, tasks.last_completion), coalesce(tasks.last_completion, runs.last_updated))', as_of()) }}
            >= {{ var('stalled_days') }},
        false
    ) as is_stalled
from runs
left join {{ ref('stg_checklists') }} as checklists on checklists.org_id = runs.org_id and checklists.id = runs.checklist_id
left join {{ ref('stg_users') }} as owner on owner.org_id = runs.org_id and owner.id = runs.owner_id
left join {{ ref('stg_users') }} as starter on starter.org_id = runs.org_id and starter.id = runs.started_by
left join tasks on tasks.org_id = runs.org_id and tasks.run_id = runs.id
left join assignees on assignees.org_id = runs.org_id and assignees.run_id = runs.id
left join tags on tags.org_id = runs.org_id and tags.run_id = runs.id
left join {{ ref('calendar') }} as created_day on created_day.day = {{ local_date('runs.created_at') }}
left join {{ ref('calendar') }} as completed_day on completed_day.day = {{ local_date('runs.completed_at') }}
