with paths as (
    select
        process.org_id,
        process.checklist_id,
        process.run_id,
        process.template_name,
        process.cycle_days,
        coalesce(string_agg(event_log.activity, ' > ' order by event_log.sequence), '') as path,
        count(event_log.activity) as steps
    from {{ ref('process') }} as process
    left join {{ ref('event_log') }} as event_log
        on event_log.org_id = process.org_id and event_log.case_id = process.run_id and event_log.kind = 2
    where process.outcome = 'complete' and process.checklist_id is not null
    group by process.org_id, process.checklist_id, process.run_id, process.template_name, process.cycle_days
),

variants as (
    select
        org_id,
        checklist_id,
        path,
        max({{ in_order('template_name') }}) as template_name,
        max(steps) as steps,
        count(*) as processes,
        {{ median('cycle_days') }} as median_cycle_days
    from paths
    group by org_id, checklist_id, path
)

select
    variants.org_id,
    variants.checklist_id,
    md5(variants.path) as variant_id,
    coalesce(template.template_name, variants.template_name) as template_name,
    variants.path,
    variants.steps,
    variants.processes,
    {{ share('variants.processes', 'sum(variants.processes) over (partition by variants.org_id, variants.checklist_id)') }}
        as share_of_template,
    variants.median_cycle_days,
    {{ rank_by('variants.processes desc', ['variants.path'], ['variants.org_id', 'variants.checklist_id']) }} as rank
from variants
left join {{ ref('template') }} as template
    on template.org_id = variants.org_id and template.checklist_id = variants.checklist_id
