with people as (
    select org_id, 'member' as person_type, person_id, id as user_id, name, team, job_title,
        coalesce(is_active, status = 'active', false) as is_active
    from {{ ref('stg_users') }}
    union all
    select org_id, 'guest', person_id, cast(null as bigint), name, cast(null as text), cast(null as text), deleted_at is null
    from {{ ref('stg_guests') }}
),

assigned as (
    select
        owner.org_id,
        owner.owner_type,
        owner.owner_id,
        count(*) as open_tasks,
        {{ count_if('task.is_waiting') }} as waiting_tasks,
        {{ count_if('task.is_overdue') }} as overdue_tasks,
        min(task.deadline) as next_deadline
    from {{ ref('task_owner') }} as owner
    inner join {{ ref('task') }} as task on task.org_id = owner.org_id and task.task_id = owner.task_id
    where task.is_open
    group by owner.org_id, owner.owner_type, owner.owner_id
),

done as (
    select
        org_id,
        completed_by_type,
        completer_key,
        count(*) as completed,
        {{ count_if("completed_at > " ~ as_of() ~ " - interval '30 days'") }} as completed_in_30_days,
        {{ count_if('is_on_time') }} as on_time,
        {{ count_if('is_on_time is not null') }} as completed_with_deadline,
        {{ median('days_waited') }} as median_days_waited
    from {{ ref('task') }}
    where is_completed
    group by org_id, completed_by_type, completer_key
),

owned as (
    select org_id, owner_id, count(*) as processes_owned, {{ count_if("outcome = 'open'") }} as open_processes_owned
    from {{ ref('process') }}
    group by org_id, owner_id
)

select
    people.org_id,
    people.person_type,
    people.person_id,
    people.name,
    people.team,
    people.job_title,
    people.is_active,
    coalesce(assigned.open_tasks, 0) as open_tasks,
    coalesce(assigned.waiting_tasks, 0) as waiting_tasks,
    coalesce(assigned.overdue_tasks, 0) as overdue_tasks,
    assigned.next_deadline,
    coalesce(done.completed, 0) as completed,
    coalesce(done.completed_in_30_days, 0) as completed_in_30_days,
    coalesce(done.on_time, 0) as on_time,
    coalesce(done.completed_with_deadline, 0) as completed_with_deadline,
    {{ share('done.on_time', 'done.completed_with_deadline') }} as share_on_time,
    done.median_days_waited,
    coalesce(owned.processes_owned, 0) as processes_owned,
    coalesce(owned.open_processes_owned, 0) as open_processes_owned
from people
left join assigned
    on assigned.org_id = people.org_id
    and assigned.owner_type = people.person_type
    and assigned.owner_id = people.person_id
left join done
    on done.org_id = people.org_id
    and done.completed_by_type = people.person_type
    and done.completer_key = people.person_id
left join owned on owned.org_id = people.org_id and owned.owner_id = people.user_id
