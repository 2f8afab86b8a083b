select
    org_id,
    checklist_id,
    template_name,
    step_id,
    step_name,
    waiting,
    longest_open_days,
    median_days_waited,
    {{ rank_by('longest_open_days desc nulls last', ['template_name', 'step_name', 'step_id']) }} as rank
from {{ ref('step_metrics') }}
where waiting > 0
