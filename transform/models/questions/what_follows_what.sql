select org_id, checklist_id, template_name, activity, next_activity, processes, median_days
from {{ ref('process_map') }}
