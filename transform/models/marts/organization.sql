with changes as (
    select org_id, last_updated from {{ ref('stg_runs') }}
    union all
    select org_id, last_updated from {{ ref('stg_tasks') }}
),

known as (
    select org_id, max(last_updated) as last_change_at from changes group by org_id
)

select
    coalesce(organization.org_id, known.org_id) as org_id,
    organization.name,
    organization.timezone,
    organization.plan_code,
    organization.users_count,
    organization.created_on as created_at,
    known.last_change_at,
    cast('{{ timezone() }}' as text) as timezone_of_days,
    {{ as_of() }} as as_of
from {{ ref('stg_organization') }} as organization
full outer join known on known.org_id = organization.org_id
