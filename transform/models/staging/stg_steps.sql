with loaded as (
    {{ raw('steps', {
        'org_id': 'text',
        'id': 'text',
        'checklist_id': 'text',
        'title': 'text',
        'step_type': 'text',
        'position': 'bigint',
        'created_at': 'timestamp',
        'last_updated': 'timestamp',
        'archived_at': 'timestamp',
    }) }}
)

select * from loaded
where exists (
    select 1 from {{ ref('stg_checklists') }} as checklists
    where checklists.org_id = loaded.org_id and checklists.id = loaded.checklist_id
)
