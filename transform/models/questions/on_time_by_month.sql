with done as (
    select org_id, cast(date_trunc('month', completed_on) as date) as month, is_on_time
    from {{ ref('task') }}
    where is_completed
),

months as (
    select firsts.org_id, cast(date_trunc('month', daily_metrics.day) as date) as month
    from (select org_id, min(month) as first_month from done group by org_id) as firsts
    inner join {{ ref('daily_metrics') }} as daily_metrics
        on daily_metrics.org_id = firsts.org_id and daily_metrics.day >= firsts.first_month
    group by firsts.org_id, cast(date_trunc('month', daily_metrics.day) as date)
)

select
    months.org_id,
    months.month,
    {{ count_if('done.is_on_time') }} as on_time,
    {{ count_if('done.is_on_time is not null') }} as with_deadline,
    {{ share(count_if('done.is_on_time'), count_if('done.is_on_time is not null')) }} as share
from months
left join done on done.org_id = months.org_id and done.month = months.month
group by months.org_id, months.month
