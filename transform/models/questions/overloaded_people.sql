select
    org_id,
    person_type,
    person_id,
    name,
    team,
    open_tasks,
    waiting_tasks,
    overdue_tasks,
    next_deadline,
    {{ rank_by('overdue_tasks desc, open_tasks desc', ['person_type', 'person_id']) }} as rank
from {{ ref('user_workload') }}
where open_tasks > 0
