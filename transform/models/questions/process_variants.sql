select org_id, checklist_id, template_name, variant_id, rank, processes, share_of_template, median_cycle_days, path
from {{ ref('variant') }}
where rank <= 5
