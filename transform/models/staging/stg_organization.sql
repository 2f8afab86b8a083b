with loaded as (
    {{ raw('organization', {
        'org_id': 'text',
        'name': 'text',
        'timezone': 'text',
        'working_days': 'json',
        'default_deadline': 'json',
        'created_on': 'timestamp',
        'last_updated': 'timestamp',
        'plan_code': 'text',
        'users_count': 'bigint',
    }) }}
)

select * from loaded
