with loaded as (
    {{ raw('form_fields', {
        'org_id': 'text',
        'id': 'text',
        'checklist_id': 'text',
        'step_id': 'text',
        'alias': 'text',
        'label': 'text',
        'field_type': 'text',
        'position': 'bigint',
        'required': 'boolean',
    }) }}
)

select * from loaded
where exists (
    select 1 from {{ ref('stg_checklists') }} as checklists
    where checklists.org_id = loaded.org_id and checklists.id = loaded.checklist_id
)
