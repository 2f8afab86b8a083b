with loaded as (
    {{ raw('activity_feed', {
        'org_id': 'text',
        'id': 'bigint',
        'verb': 'text',
        'source': 'text',
        'type': 'text',
        'actor_type': 'text',
        'actor_id': 'bigint',
        'auditable_type': 'text',
        'auditable_id': 'text',
        'parentable_type': 'text',
        'parentable_id': 'text',
        'field': 'text',
        'created_at': 'timestamp',
    }) }}
)

select * from loaded
