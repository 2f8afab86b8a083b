with late as (
    select
        org_id,
        checklist_id,
        step_id,
        cast(extract(isodow from {{ local_date('due_at') }}) as integer) as weekday,
        max({{ in_order('template_name') }}) as template_name,
        max({{ in_order('step_name') }}) as step_name,
        count(*) as late
    from {{ ref('sla') }}
    where object_type = 'task' and step_id is not null and state in ('missed', 'breached')
    group by org_id, checklist_id, step_id, cast(extract(isodow from {{ local_date('due_at') }}) as integer)
)

select
    org_id,
    checklist_id,
    template_name,
    step_id,
    step_name,
    weekday,
    late,
    {{ share('late', 'sum(late) over (partition by org_id, checklist_id, step_id)') }} as share
from late
