with loaded as (
    {{ raw('run_tags', {
        'org_id': 'text',
        'run_id': 'text',
        'tag_id': 'text',
        'last_updated': 'timestamp',
    }) }}
)

-- A tag that was taken off is not sent with its process any more: its row keeps the stamp of the time before.
select loaded.* from loaded
inner join {{ ref('stg_runs') }} as runs on runs.org_id = loaded.org_id and runs.id = loaded.run_id
where loaded.last_updated is null or runs.last_updated is null or loaded.last_updated >= runs.last_updated
