select
    process.org_id,
    process.checklist_id,
    template.template_name,
    process.created_at >= template.last_changed_at as is_after_change,
    count(*) as processes,
    {{ median('process.cycle_days') }} as median_cycle_days
from {{ ref('process') }} as process
inner join {{ ref('template') }} as template
    on template.org_id = process.org_id and template.checklist_id = process.checklist_id
where process.outcome = 'complete' and process.created_at is not null and template.last_changed_at is not null
group by process.org_id, process.checklist_id, template.template_name, process.created_at >= template.last_changed_at
