with moves as (
    select
        org_id,
        checklist_id,
        template_name,
        activity,
        lead(activity) over (partition by org_id, case_id order by sequence) as next_activity,
        {{ days_between('happened_at', 'lead(happened_at) over (partition by org_id, case_id order by sequence)') }} as days
    from {{ ref('event_log') }}
    where lifecycle = 'complete' and checklist_id is not null
)

select
    moves.org_id,
    moves.checklist_id,
    moves.activity,
    moves.next_activity,
    coalesce(max({{ in_order('template.template_name') }}), max({{ in_order('moves.template_name') }})) as template_name,
    count(*) as processes,
    {{ median('moves.days') }} as median_days
from moves
left join {{ ref('template') }} as template
    on template.org_id = moves.org_id and template.checklist_id = moves.checklist_id
where moves.next_activity is not null and moves.activity is not null
group by moves.org_id, moves.checklist_id, moves.activity, moves.next_activity
