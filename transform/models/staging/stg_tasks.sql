with loaded as (
    {{ raw('tasks', {
        'org_id': 'text',
        'id': 'text',
        'run_id': 'text',
        'checklist_id': 'text',
        'step_id': 'text',
        'stage_id': 'text',
        'alias': 'text',
        'title': 'text',
        'task_type': 'text',
        'status': 'text',
        'is_oneoff_task': 'boolean',
        'problem': 'boolean',
        'position': 'bigint',
        'created_at': 'timestamp',
        'started_at': 'timestamp',
        'deadline': 'timestamp',
        'completed_at': 'timestamp',
        'archived_at': 'timestamp',
        'last_updated': 'timestamp',
        'completer_id': 'bigint',
        'completer_guest': 'text',
        'owners': 'json',
    }) }}
)

select * from loaded
where
    run_id is null
    or exists (
        select 1 from {{ ref('stg_runs') }} as runs where runs.org_id = loaded.org_id and runs.id = loaded.run_id
    )
