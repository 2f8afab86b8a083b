with processes as (
    select
        org_id,
        checklist_id,
        count(*) as processes,
        {{ count_if("outcome = 'open'") }} as open_processes,
        {{ count_if("created_at >= " ~ as_of() ~ " - interval '90 days'") }} as launched_in_90_days,
        max(created_at) as last_launched_at,
        {{ median('cycle_days') }} as median_cycle_days,
        {{ median('cycle_working_hours') }} as median_cycle_working_hours
    from {{ ref('process') }}
    group by org_id, checklist_id
),

steps as (
    select org_id, checklist_id, count(*) as steps_count from {{ ref('stg_steps') }} group by org_id, checklist_id
)

select
    checklists.org_id,
    checklists.id as checklist_id,
    checklists.title as template_name,
    checklists.type as template_type,
    checklists.owner_id,
    coalesce(owner.name, cast(checklists.owner_id as text)) as owner_name,
    checklists.archived_at is not null as is_archived,
    coalesce(checklists.steps_count, steps.steps_count) as steps_count,
    checklists.last_updated as last_changed_at,
    coalesce(processes.processes, 0) as processes,
    coalesce(processes.open_processes, 0) as open_processes,
    coalesce(processes.launched_in_90_days, 0) as launched_in_90_days,
    processes.last_launched_at,
    processes.processes is null as is_unused,
    processes.median_cycle_days,
    processes.median_cycle_working_hours
from {{ ref('stg_checklists') }} as checklists
left join {{ ref('stg_users') }} as owner on owner.org_id = checklists.org_id and owner.id = checklists.owner_id
left join steps on steps.org_id = checklists.org_id and steps.checklist_id = checklists.id
left join processes on processes.org_id = checklists.org_id and processes.checklist_id = checklists.id
