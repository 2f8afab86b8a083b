with loaded as (
    {{ raw('stages', {
        'org_id': 'text',
        'checklist_id': 'text',
        'id': 'text',
        'title': 'text',
        'position': 'bigint',
    }) }}
)

select * from loaded
where exists (
    select 1 from {{ ref('stg_checklists') }} as checklists
    where checklists.org_id = loaded.org_id and checklists.id = loaded.checklist_id
)
