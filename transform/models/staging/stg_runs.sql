with loaded as (
    {{ raw('runs', {
        'org_id': 'text',
        'id': 'text',
        'increment_id': 'bigint',
        'checklist_id': 'text',
        'checklist_title': 'text',
        'name': 'text',
        'type': 'text',
        'status': 'text',
        'owner_id': 'bigint',
        'started_by': 'bigint',
        'parent_id': 'text',
        'created_at': 'timestamp',
        'started_at': 'timestamp',
        'completed_at': 'timestamp',
        'archived_at': 'timestamp',
        'due_date': 'timestamp',
        'last_updated': 'timestamp',
        'late_tasks': 'bigint',
    }) }}
)

select * from loaded
