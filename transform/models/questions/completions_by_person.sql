select org_id, person_type, person_id, name, completed, completed_in_30_days
from {{ ref('user_workload') }}
where completed > 0
