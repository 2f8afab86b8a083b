with loaded as (
    {{ raw('groups', {
        'org_id': 'text',
        'id': 'text',
        'name': 'text',
        'created_at': 'timestamp',
        'last_updated': 'timestamp',
    }) }}
)

select * from loaded
