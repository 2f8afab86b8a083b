with loaded as (
    {{ raw('folders', {
        'org_id': 'text',
        'id': 'text',
        'name': 'text',
        'parent_id': 'text',
        'folder_type': 'text',
        'position': 'bigint',
        'created_at': 'timestamp',
    }) }}
)

select * from loaded
