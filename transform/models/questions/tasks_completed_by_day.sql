select
    org_id,
    day,
    tasks_completed,
    cast(sum(tasks_completed) over last_week as double precision) / count(*) over last_week as week_average
from {{ ref('daily_metrics') }}
window last_week as (partition by org_id order by day rows between 6 preceding and current row)
