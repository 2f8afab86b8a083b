select
    org_id,
    checklist_id,
    max({{ in_order('template_name') }}) as template_name,
    count(*) as processes,
    {{ median('cycle_days * 24') }} as median_hours,
    {{ median('cycle_working_hours') }} as median_working_hours
from {{ ref('process') }}
where outcome = 'complete' and checklist_id is not null
group by org_id, checklist_id
