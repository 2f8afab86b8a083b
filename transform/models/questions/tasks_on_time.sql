select
    organization.org_id,
    {{ count_if('task.is_on_time') }} as on_time,
    {{ count_if('task.is_on_time is not null') }} as with_deadline,
    {{ share(count_if('task.is_on_time'), count_if('task.is_on_time is not null')) }} as share
from {{ ref('organization') }} as organization
left join {{ ref('task') }} as task on task.org_id = organization.org_id
group by organization.org_id
