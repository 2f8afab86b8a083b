select org_id, checklist_id, template_name, processes, launched_in_90_days, is_unused
from {{ ref('template') }}
where not is_archived
