{{ config(enabled=var('analytics_csv')) }}

with owners as (
    select
        org_id,
        task_id,
        string_agg(case when owner_type = 'member' then owner_name end, ', '
            order by {{ in_order('owner_name') }}, {{ in_order('owner_id') }}) as user_assigned,
        string_agg(case when owner_type = 'member' then owner_id end, ', '
            order by {{ in_order('owner_name') }}, {{ in_order('owner_id') }}) as assigned_user_id,
        string_agg(case when owner_type = 'guest' then owner_id end, ', '
            order by {{ in_order('owner_name') }}, {{ in_order('owner_id') }}) as guest_assigned
    from {{ ref('task_owner') }}
    group by org_id, task_id
),

fields as (
    select org_id, step_id, count(*) as no_of_form_fields
    from {{ ref('stg_form_fields') }}
    where step_id is not null
    group by org_id, step_id
),

kick_off_fields as (
    select org_id, checklist_id, count(*) as no_of_form_fields
    from {{ ref('stg_form_fields') }}
    where step_id is null
    group by org_id, checklist_id
),

tasks as (
    select
        task.*,
        stg_tasks.alias,
        stages.position as stage_position,
        coalesce(fields.no_of_form_fields, 0) as no_of_form_fields,
        owners.user_assigned,
        owners.assigned_user_id,
        owners.guest_assigned
    from {{ ref('task') }} as task
    inner join {{ ref('stg_tasks') }} as stg_tasks on stg_tasks.org_id = task.org_id and stg_tasks.id = task.task_id
    left join {{ ref('stg_stages') }} as stages
        on stages.org_id = task.org_id and stages.checklist_id = task.checklist_id and stages.id = task.stage_id
    left join fields on fields.org_id = task.org_id and fields.step_id = task.step_id
    left join owners on owners.org_id = task.org_id and owners.task_id = task.task_id
    where task.run_id is not null
),

lines as (
    select
        org_id, run_id, 'process_task' as type, task_id, cast(null as text) as data_id, cast(null as text) as data_name,
        cast(null as text) as field_type, cast(null as text) as question, cast(null as text) as answer,
        cast(null as text) as comment_id, cast(null as text) as comment, last_updated as last_modified
    from tasks
    union all
    select
        answers.org_id, answers.run_id, 'process_task_data', answers.task_id, answers.field_id, answers.question,
        answers.field_type, answers.question, answers.answer, null, null, tasks.last_updated
    from {{ ref('form_answer') }} as answers
    inner join tasks on tasks.org_id = answers.org_id and tasks.task_id = answers.task_id
    where tasks.is_completed
    union all
    select
        comments.org_id, tasks.run_id, 'process_task_comment', comments.task_id, null, null, null, null, null,
        comments.id, comments.content, coalesce(comments.updated_at, comments.created_at)
    from {{ ref('stg_comments') }} as comments
    inner join tasks on tasks.org_id = comments.org_id and tasks.task_id = comments.task_id
    union all
    select
        org_id, run_id, 'kick_off_task', null, field_id, question, field_type, question, answer, null, null, answered_at
    from {{ ref('form_answer') }}
    where form = 'kick-off'
)

select
    process.checklist_id as blueprint_id,
    process.template_name as blueprint_name,
    cast(null as text) as blueprint_version,
    process.run_id as process_id,
    process.process_name,
    process.tags as process_tag,
    process.owner_name as process_owner,
    cast(process.owner_id as text) as process_owner_id,
    process.tasks as total_tasks_in_process,
    process.tasks_completed,
    process.status as process_status,
    process.last_updated as process_last_modified,
    process.completed_at as process_completed_at,
    lines.type,
    coalesce(tasks.no_of_form_fields, kick_off_fields.no_of_form_fields, 0) > 0 as has_form_fields,
    case when lines.type = 'kick_off_task' then lines.data_id end as kick_off_task_id,
    case when lines.type = 'kick_off_task' then lines.data_name end as kick_off_task_name,
    tasks.task_id as process_task_id,
    case when tasks.is_skipped then 'hidden' when tasks.is_completed then 'complete' when tasks.task_id is not null then 'active' end
        as process_task_status,
    tasks.task_name as process_task_name,
    tasks.alias as process_task_alias,
    case when lines.type = 'process_task_data' then lines.data_id end as process_task_data_id,
    case when lines.type = 'process_task_data' then lines.data_name end as process_task_data_name,
    lines.comment_id as process_task_comment_id,
    cast(null as text) as process_task_comment_name,
    tasks.stage_id as milestone_id,
    tasks.stage_name as milestone_name,
    tasks.stage_position as milestone_position,
    tasks.user_assigned,
    tasks.assigned_user_id,
    tasks.guest_assigned,
    tasks.members_assigned as total_users_assigned,
    tasks.guests_assigned as total_guests_assigned,
    tasks.assignees as total_assignees,
    tasks.completed_by,
    tasks.started_at as assigned_or_shown_on,
    tasks.deadline as due_by,
    tasks.completed_at as completed_on,
    coalesce(tasks.no_of_form_fields, kick_off_fields.no_of_form_fields, 0) as no_of_form_fields,
    lines.field_type as form_field_type,
    lines.question as question_in_form_field,
    lines.answer as answer_in_form_field,
    tasks.issues_reported > 0 as issue_reported,
    tasks.issues_reported as no_of_issue_reported,
    tasks.issues_resolved > 0 as issue_resolved,
    tasks.issues_resolved as no_of_issue_resolved,
    tasks.comments as total_comments,
    lines.comment,
    lines.last_modified
from lines
inner join {{ ref('process') }} as process on process.org_id = lines.org_id and process.run_id = lines.run_id
left join tasks on tasks.org_id = lines.org_id and tasks.task_id = lines.task_id
left join kick_off_fields
    on lines.type = 'kick_off_task'
    and kick_off_fields.org_id = lines.org_id
    and kick_off_fields.checklist_id = process.checklist_id
