with tasks as (
    select
        org_id,
        step_id,
        {{ count_if('not is_skipped') }} as tasks,
        {{ count_if('is_completed') }} as completed,
        {{ count_if('is_open') }} as open,
        {{ count_if('is_waiting') }} as waiting,
        {{ count_if('is_skipped') }} as skipped,
        {{ count_if('is_overdue') }} as overdue,
        {{ count_if('is_on_time') }} as on_time,
        {{ count_if('is_on_time is not null') }} as completed_with_deadline,
        {{ median('days_waited') }} as median_days_waited,
        {{ p90('days_waited') }} as p90_days_waited,
        {{ median('working_hours_waited') }} as median_working_hours_waited,
        {{ median('days_taken') }} as median_days_taken,
        max(case when is_waiting then {{ days_between('started_at', as_of()) }} end) as longest_open_days,
        {{ total('comments') }} as comments,
        {{ total('issues_reported') }} as issues
    from {{ ref('task') }}
    where step_id is not null
    group by org_id, step_id
)

select
    steps.org_id,
    steps.id as step_id,
    steps.checklist_id,
    checklists.title as template_name,
    steps.title as step_name,
    steps.position,
    steps.step_type,
    steps.archived_at is not null or checklists.archived_at is not null as is_archived,
    coalesce(tasks.tasks, 0) as tasks,
    coalesce(tasks.completed, 0) as completed,
    coalesce(tasks.open, 0) as open,
    coalesce(tasks.waiting, 0) as waiting,
    coalesce(tasks.skipped, 0) as skipped,
    coalesce(tasks.overdue, 0) as overdue,
    coalesce(tasks.on_time, 0) as on_time,
    coalesce(tasks.completed_with_deadline, 0) as completed_with_deadline,
    {{ share('tasks.on_time', 'tasks.completed_with_deadline') }} as share_on_time,
    tasks.median_days_waited,
    tasks.p90_days_waited,
    tasks.median_working_hours_waited,
    tasks.median_days_taken,
    tasks.longest_open_days,
    {{ if_loaded('comments', 'coalesce(tasks.comments, 0)') }} as comments,
    {{ if_loaded('comments', 'coalesce(tasks.issues, 0)') }} as issues
from {{ ref('stg_steps') }} as steps
inner join {{ ref('stg_checklists') }} as checklists
    on checklists.org_id = steps.org_id and checklists.id = steps.checklist_id
left join tasks on tasks.org_id = steps.org_id and tasks.step_id = steps.id
