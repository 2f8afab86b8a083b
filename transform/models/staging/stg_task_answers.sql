with loaded as (
    {{ raw('task_answers', {
        'org_id': 'text',
        'run_id': 'text',
        'task_id': 'text',
        'checklist_id': 'text',
        'step_id': 'text',
        'field_id': 'text',
        'value': 'text',
        'value_json': 'text',
        'last_updated': 'timestamp',
    }) }}
)

select * from loaded
where exists (
    select 1 from {{ ref('stg_tasks') }} as tasks where tasks.org_id = loaded.org_id and tasks.id = loaded.task_id
)
