select org_id, day, processes_open
from {{ ref('daily_metrics') }}
