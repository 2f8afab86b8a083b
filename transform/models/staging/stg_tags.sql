with loaded as (
    {{ raw('tags', {
        'org_id': 'text',
        'id': 'text',
        'title': 'text',
        'color': 'text',
        'auto_generated': 'boolean',
    }) }}
)

select * from loaded
