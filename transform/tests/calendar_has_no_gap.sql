select day, next_day
from (select day, lead(day) over (order by day) as next_day from {{ ref('calendar') }}) as days
where next_day <> day + 1
