select org_id, day, next_day
from (select org_id, day, lead(day) over (partition by org_id order by day) as next_day from {{ ref('daily_metrics') }}) as days
where next_day <> day + 1
