{#- The answers of a template's processes with a column for each question, for a model of your own:

    select * from ({{ form_answer_wide('Customer Onboarding') }}) as onboarding

    A column is named by the alias of the question, else by its label; the second of one name ends in (2). -#}
{% macro form_answer_wide(template_name) %}
{%- set answers = ref('form_answer') -%}
{%- set of_template = "where template_name = '" ~ template_name | replace("'", "''") ~ "'" -%}
{%- set asked -%}
select field_id, min({{ in_order('coalesce(field_alias, question)') }}) as name
from {{ answers }} {{ of_template }}
group by field_id
order by min(form), min(step_position), min(position), field_id
{%- endset -%}
{%- set named = dict() -%}
select
    org_id,
    run_id,
    checklist_id,
    process_name
    {%- for field_id, name in (run_query(asked).rows if execute else []) -%}
    {%- do named.update({name | lower: named.get(name | lower, 0) + 1}) -%}
    {%- set column = name if named[name | lower] == 1 else name ~ ' (' ~ named[name | lower] ~ ')' %},
    max(case when field_id = '{{ field_id | replace("'", "''") }}' then answer end) as "{{ column | replace('"', '""') }}"
    {%- endfor %}
from {{ answers }}
{{ of_template }}
group by org_id, run_id, checklist_id, process_name
{% endmacro %}
