with owners as (
    select org_id, id as task_id, {{ json_member('owners', 'users') }} as users,
        {{ json_member('owners', 'guests') }} as guests, {{ json_member('owners', 'groups') }} as {{ adapter.quote('groups') }}
    from {{ ref('stg_tasks') }}
),

-- Each kind by itself: one `union` of all three takes PostgreSQL many times as long.
members as (
    select distinct owners.org_id, owners.task_id, {{ item_text('items.item', 'id') }} as owner_id
    from owners cross join lateral {{ json_items('owners.users') }} as items
),

guests as (
    select distinct owners.org_id, owners.task_id, {{ item_text('items.item', 'email') }} as owner_id
    from owners cross join lateral {{ json_items('owners.guests') }} as items
),

groups_of_people as (
    select distinct owners.org_id, owners.task_id, {{ item_text('items.item', 'id') }} as owner_id
    from owners cross join lateral {{ json_items('owners.' ~ adapter.quote('groups')) }} as items
)

select members.org_id, members.task_id, 'member' as owner_type, members.owner_id,
    coalesce(users.name, members.owner_id) as owner_name, users.team
from members
left join {{ ref('stg_users') }} as users on users.org_id = members.org_id and users.person_id = members.owner_id
where members.owner_id is not null
union all
select guests.org_id, guests.task_id, 'guest', guests.owner_id, coalesce(known.name, guests.owner_id), cast(null as text)
from guests
left join {{ ref('stg_guests') }} as known on known.org_id = guests.org_id and known.person_id = guests.owner_id
where guests.owner_id is not null
union all
select of_task.org_id, of_task.task_id, 'group', of_task.owner_id, coalesce(known.name, of_task.owner_id), cast(null as text)
from groups_of_people as of_task
left join {{ ref('stg_groups') }} as known on known.org_id = of_task.org_id and known.id = of_task.owner_id
where of_task.owner_id is not null
