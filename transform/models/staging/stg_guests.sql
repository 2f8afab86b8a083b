with loaded as (
    {{ raw('guests', {
        'org_id': 'text',
        'email': 'text',
        'first_name': 'text',
        'last_name': 'text',
        'created_at': 'timestamp',
        'deleted_at': 'timestamp',
    }) }}
)

select
    *,
    email as person_id,
    coalesce(nullif(trim(concat_ws(' ', first_name, last_name)), ''), email) as name
from loaded
