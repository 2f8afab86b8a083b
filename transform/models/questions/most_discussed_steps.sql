select
    org_id,
    checklist_id,
    template_name,
    step_id,
    step_name,
    comments,
    {{ share('comments', 'completed + waiting') }} as per_task,
    {{ rank_by('coalesce(comments, 0) desc', ['template_name', 'step_name', 'step_id']) }} as rank
from {{ ref('step_metrics') }}
where tasks > 0
