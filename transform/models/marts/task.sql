with tasks as (
    select
        tasks.*,
        coalesce(tasks.is_oneoff_task, tasks.run_id is null) as is_oneoff,
        coalesce(tasks.checklist_id, runs.checklist_id) as of_checklist,
        runs.name as process_name,
        runs.checklist_title,
        coalesce(runs.started_at, runs.created_at) as process_began,
        coalesce(tasks.status = 'auto-skipped', false) as is_skipped,
        tasks.completed_at is not null and coalesce(tasks.status <> 'auto-skipped', true) as is_completed,
        tasks.archived_at is not null or runs.archived_at is not null as is_archived,
        runs.completed_at is not null as process_completed
    from {{ ref('stg_tasks') }} as tasks
    left join {{ ref('stg_runs') }} as runs on runs.org_id = tasks.org_id and runs.id = tasks.run_id
),

-- A task waits from the completion of the one before it, the first from the start of the process.
waits as (
    select
        org_id,
        id,
        lag(completed_at, 1, process_began)
            over (partition by org_id, run_id order by completed_at, position, {{ in_order('id') }}) as waiting_since
    from tasks
    where is_completed and run_id is not null
),

owners as (
    select
        org_id,
        task_id,
        count(*) as assignees,
        {{ count_if("owner_type = 'member'") }} as members_assigned,
        {{ count_if("owner_type = 'guest'") }} as guests_assigned,
        {{ count_if("owner_type = 'group'") }} as groups_assigned,
        string_agg(owner_name, ', ' order by
            case owner_type when 'member' then 1 when 'guest' then 2 else 3 end,
            {{ in_order('owner_name') }}, {{ in_order('owner_id') }}
        ) as assignee_names
    from {{ ref('task_owner') }}
    group by org_id, task_id
),

discussed as (
    select
        org_id,
        task_id,
        count(*) as comments,
        {{ count_if("label = 'problem'") }} as issues_reported,
        {{ count_if("label = 'resolve'") }} as issues_resolved
    from {{ ref('stg_comments') }}
    group by org_id, task_id
),

measured as (
    select
        tasks.*,
        waits.waiting_since,
        not (tasks.is_completed or tasks.is_skipped or tasks.is_archived or tasks.process_completed) as is_open,
        coalesce(not (tasks.is_completed or tasks.is_skipped or tasks.is_archived or tasks.process_completed)
            and tasks.deadline < {{ as_of() }}, false) as is_overdue,
        case
            when tasks.is_completed and tasks.completed_at > tasks.deadline then tasks.completed_at
            when not (tasks.is_completed or tasks.is_skipped or tasks.is_archived or tasks.process_completed)
                and tasks.deadline < {{ as_of() }} then {{ as_of() }}
        end as late_until
    from tasks
    left join waits on waits.org_id = tasks.org_id and waits.id = tasks.id
)

select
    measured.org_id,
    measured.id as task_id,
    measured.run_id,
    measured.of_checklist as checklist_id,
    measured.step_id,
    measured.process_name,
    coalesce(measured.checklist_title, checklists.title) as template_name,
    measured.title as task_name,
    coalesce(steps.title, measured.title) as step_name,
    measured.position,
    measured.stage_id,
    stages.title as stage_name,
    measured.task_type,
    measured.status,
    measured.is_oneoff,
    measured.is_completed,
    measured.is_skipped,
    measured.is_archived,
    measured.is_open,
    measured.is_open and coalesce(measured.status = 'in-progress', false) as is_waiting,
    coalesce(measured.problem, false) as has_open_issue,
    measured.created_at,
    measured.started_at,
    measured.deadline,
    measured.completed_at,
    measured.archived_at,
    measured.last_updated,
    measured.waiting_since,
    {{ local_date('measured.completed_at') }} as completed_on,
    measured.completer_id,
    coalesce(cast(measured.completer_id as text), measured.completer_guest) as completer_key,
    coalesce(users.name, guests.name, measured.completer_guest, cast(measured.completer_id as text)) as completed_by,
    case
        when users.id is not null then 'member'
        when guests.email is not null then 'guest'
        when coalesce(cast(measured.completer_id as text), measured.completer_guest) is not null then 'unknown'
    end as completed_by_type,
    coalesce(owners.assignees, 0) as assignees,
    coalesce(owners.members_assigned, 0) as members_assigned,
    coalesce(owners.guests_assigned, 0) as guests_assigned,
    coalesce(owners.groups_assigned, 0) as groups_assigned,
    owners.assignee_names,
    {{ if_loaded('comments', 'coalesce(discussed.comments, 0)') }} as comments,
    {{ if_loaded('comments', 'coalesce(discussed.issues_reported, 0)') }} as issues_reported,
    {{ if_loaded('comments', 'coalesce(discussed.issues_resolved, 0)') }} as issues_resolved,
    case when measured.is_completed then measured.completed_at <= measured.deadline end as is_on_time,
    measured.is_overdue,
    case when measured.is_completed then {{ days_between('measured.started_at', 'measured.completed_at') }} end as days_taken,
    {{ days_between('measured.waiting_since', 'measured.completed_at') }} as days_waited,
    {{ working_hours_between('measured.waiting_since', 'since_day', 'measured.completed_at', 'done_day') }}
        as working_hours_waited,
    {{ days_between('measured.deadline', 'measured.late_until') }} as days_late,
    {{ working_hours_between('measured.deadline', 'due_day', 'measured.late_until', 'late_day') }} as working_hours_late
from measured
left join {{ ref('stg_checklists') }} as checklists
    on checklists.org_id = measured.org_id and checklists.id = measured.of_checklist
left join {{ ref('stg_steps') }} as steps on steps.org_id = measured.org_id and steps.id = measured.step_id
left join {{ ref('stg_stages') }} as stages
    on stages.org_id = measured.org_id
    and stages.checklist_id = measured.of_checklist
    and stages.id = measured.stage_id
left join {{ ref('stg_users') }} as users
    on users.org_id = measured.org_id and users.id = measured.completer_id
left join {{ ref('stg_guests') }} as guests
    on guests.org_id = measured.org_id
    and guests.email = measured.completer_guest
    and measured.completer_id is null
left join owners on owners.org_id = measured.org_id and owners.task_id = measured.id
left join discussed on discussed.org_id = measured.org_id and discussed.task_id = measured.id
left join {{ ref('calendar') }} as since_day on since_day.day = {{ local_date('measured.waiting_since') }}
left join {{ ref('calendar') }} as done_day on done_day.day = {{ local_date('measured.completed_at') }}
left join {{ ref('calendar') }} as due_day on due_day.day = {{ local_date('measured.deadline') }}
left join {{ ref('calendar') }} as late_day on late_day.day = {{ local_date('measured.late_until') }}
