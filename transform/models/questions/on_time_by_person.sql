select
    org_id,
    completed_by_type as person_type,
    completer_key as person_id,
    max({{ in_order('completed_by') }}) as name,
    {{ count_if('is_on_time') }} as on_time,
    {{ count_if('is_on_time is not null') }} as with_deadline,
    {{ share(count_if('is_on_time'), count_if('is_on_time is not null')) }} as share
from {{ ref('task') }}
where is_completed and completer_key is not null
group by org_id, completed_by_type, completer_key
having {{ count_if('is_on_time is not null') }} >= 20
