with loaded as (
    {{ raw('checklists', {
        'org_id': 'text',
        'id': 'text',
        'title': 'text',
        'type': 'text',
        'owner_id': 'bigint',
        'steps_count': 'bigint',
        'created_at': 'timestamp',
        'last_updated': 'timestamp',
        'archived_at': 'timestamp',
    }) }}
)

select * from loaded
