with loaded as (
    {{ raw('kickoff_answers', {
        'org_id': 'text',
        'run_id': 'text',
        'checklist_id': 'text',
        'field_id': 'text',
        'value': 'text',
        'value_json': 'text',
        'last_updated': 'timestamp',
    }) }}
)

select * from loaded
where exists (
    select 1 from {{ ref('stg_runs') }} as runs where runs.org_id = loaded.org_id and runs.id = loaded.run_id
)
