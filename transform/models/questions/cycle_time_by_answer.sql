select
    answers.org_id,
    answers.checklist_id,
    max({{ in_order('answers.template_name') }}) as template_name,
    answers.field_id,
    max({{ in_order('answers.question') }}) as question,
    answers.answer,
    count(*) as processes,
    {{ median('process.cycle_days') }} as median_cycle_days
from {{ ref('form_answer') }} as answers
inner join {{ ref('process') }} as process on process.org_id = answers.org_id and process.run_id = answers.run_id
where
    answers.form = 'kick-off'
    and answers.field_type in ('dropdown', 'radio')
    and answers.answer is not null
    and process.outcome = 'complete'
group by answers.org_id, answers.checklist_id, answers.field_id, answers.answer
