select
    organization.org_id,
    {{ count_if("process.completed_at > organization.as_of - interval '30 days' and process.completed_at <= organization.as_of") }}
        as last_30_days,
    {{ count_if("process.completed_at > organization.as_of - interval '60 days' and process.completed_at <= organization.as_of - interval '30 days'") }}
        as previous_30_days
from {{ ref('organization') }} as organization
left join {{ ref('process') }} as process on process.org_id = organization.org_id
group by organization.org_id
