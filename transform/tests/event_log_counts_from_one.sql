select org_id, case_id
from {{ ref('event_log') }}
group by org_id, case_id
having min(sequence) <> 1 or max(sequence) <> count(*)
