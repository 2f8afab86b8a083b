select
    org_id,
    checklist_id,
    template_name,
    step_id,
    step_name,
    issues,
    {{ share('issues', 'completed + waiting') }} as per_task,
    {{ rank_by('coalesce(issues, 0) desc', ['template_name', 'step_name', 'step_id']) }} as rank
from {{ ref('step_metrics') }}
where tasks > 0
