select
    org_id,
    owner_id,
    max({{ in_order('owner_name') }}) as name,
    count(*) as processes,
    {{ count_if("outcome = 'open'") }} as open_processes
from {{ ref('process') }}
where owner_id is not null
group by org_id, owner_id
