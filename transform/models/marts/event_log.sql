with events as (
    select
        org_id, run_id, run_id as object_id, 'launch' as what, 'Process launched' as activity, cast(null as text) as step_id,
        created_at as happened_at, started_by_name as resource, 'complete' as lifecycle, 0 as kind, cast(null as bigint) as position
    from {{ ref('process') }}
    union all
    select org_id, run_id, task_id, 'start', step_name, step_id, started_at, assignee_names, 'start', 1, position
    from {{ ref('task') }}
    where not is_skipped
    union all
    select org_id, run_id, task_id, 'completion', step_name, step_id, completed_at, completed_by, 'complete', 2, position
    from {{ ref('task') }}
    where is_completed
    union all
    select org_id, run_id, run_id, 'end', 'Process completed', null, completed_at, cast(null as text), 'complete', 3, null
    from {{ ref('process') }}
)

select
    events.org_id,
    events.run_id as case_id,
    cast(row_number() over (
        partition by events.org_id, events.run_id
        order by events.happened_at, events.kind, events.position, {{ in_order('events.object_id') }}
    ) as bigint) as sequence,
    events.org_id || ':' || events.object_id || ':' || events.what as event_id,
    process.checklist_id,
    process.template_name,
    events.activity,
    events.step_id,
    events.happened_at,
    events.resource,
    events.lifecycle,
    events.kind,
    events.position,
    process.outcome,
    process.owner_name as case_owner
from events
inner join {{ ref('process') }} as process on process.org_id = events.org_id and process.run_id = events.run_id
where events.happened_at is not null
