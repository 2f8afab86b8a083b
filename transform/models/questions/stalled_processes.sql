select
    org_id,
    run_id,
    checklist_id,
    template_name,
    process_name,
    owner_name,
    current_steps,
    waits_for,
    age_days,
    {{ rank_by('age_days desc nulls last', ['run_id']) }} as rank
from {{ ref('process') }}
where is_stalled
