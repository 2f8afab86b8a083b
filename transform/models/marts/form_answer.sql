with given as (
    select org_id, run_id, cast(null as text) as task_id, checklist_id, cast(null as text) as step_id, field_id,
        'kick-off' as form, value, value_json
    from {{ ref('stg_kickoff_answers') }}
    union all
    select org_id, run_id, task_id, checklist_id, step_id, field_id, 'task', value, value_json
    from {{ ref('stg_task_answers') }}
)

select
    given.org_id,
    given.run_id,
    given.task_id,
    given.field_id,
    coalesce(given.checklist_id, process.checklist_id) as checklist_id,
    coalesce(process.template_name, task.template_name) as template_name,
    process.process_name,
    given.form,
    coalesce(given.step_id, task.step_id) as step_id,
    task.step_name,
    fields.alias as field_alias,
    coalesce(fields.label, given.field_id) as question,
    fields.field_type,
    fields.position,
    coalesce(steps.position, task.position) as step_position,
    fields.id is null as is_field_gone,
    given.value as answer,
    {{ number_or_null('given.value') }} as answer_number,
    case when fields.field_type = 'date' then {{ moment_or_null('given.value') }} end as answer_at,
    given.value_json,
    coalesce(task.completed_at, process.created_at) as answered_at,
    coalesce(process.is_archived, false) or coalesce(task.is_archived, false) as is_archived
from given
left join {{ ref('process') }} as process on process.org_id = given.org_id and process.run_id = given.run_id
left join {{ ref('task') }} as task on task.org_id = given.org_id and task.task_id = given.task_id
left join {{ ref('stg_form_fields') }} as fields on fields.org_id = given.org_id and fields.id = given.field_id
left join {{ ref('stg_steps') }} as steps
    on steps.org_id = given.org_id and steps.id = coalesce(given.step_id, task.step_id)
