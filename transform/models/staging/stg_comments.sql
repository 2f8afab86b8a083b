with loaded as (
    {{ raw('comments', {
        'org_id': 'text',
        'id': 'text',
        'task_id': 'text',
        'content': 'text',
        'label': 'text',
        'author_id': 'bigint',
        'author_type': 'text',
        'created_at': 'timestamp',
        'updated_at': 'timestamp',
    }) }}
)

select * from loaded
where exists (
    select 1 from {{ ref('stg_tasks') }} as tasks where tasks.org_id = loaded.org_id and tasks.id = loaded.task_id
)
