with loaded as (
    {{ raw('users', {
        'org_id': 'text',
        'id': 'bigint',
        'email': 'text',
        'full_name': 'text',
        'first_name': 'text',
        'last_name': 'text',
        'team': 'text',
        'job_title': 'text',
        'status': 'text',
        'is_active': 'boolean',
        'timezone': 'text',
        'created_at': 'timestamp',
        'last_updated': 'timestamp',
    }) }}
)

select
    *,
    cast(id as text) as person_id,
    coalesce(nullif(trim(full_name), ''), nullif(trim(concat_ws(' ', first_name, last_name)), ''), email, cast(id as text)) as name
from loaded
