{#- What the loader wrote of a stream: the columns asked for, of one type on both databases. A column that is not
    there is null, a stream that was not loaded has no rows, and rows marked as deleted are left out. -#}
{% macro raw(stream, columns) %}
{%- set table = source('tallyfy', stream) -%}
{%- set found = dict() -%}
{%- if execute -%}
    {%- set relation = adapter.get_relation(table.database, table.schema, table.identifier) -%}
    {%- if relation is not none -%}
        {#- Loaders differ in the case of letters: UTC_offset, utc_offset. -#}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- do found.update({column.name | lower: column}) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endif -%}
select
{%- for name, type in columns.items() %}
    {% if name | lower in found %}{{ typed(found[name | lower], type) }}{% else %}{{ nothing(type) }}{% endif %} as {{ adapter.quote(name | lower) }}
    {%- if not loop.last %},{% endif %}
{%- endfor %}
{% if found -%}
from {{ table }}
{%- if '_sdc_deleted_at' in found %}
where _sdc_deleted_at is null
{%- endif -%}
{%- else -%}
where false
{%- endif -%}
{% endmacro %}


{#- Null instead of a count of 0 where the stream was not loaded: nobody knows then. -#}
{% macro if_loaded(stream, expression) %}
{%- set table = source('tallyfy', stream) -%}
{%- if not execute or adapter.get_relation(table.database, table.schema, table.identifier) is not none -%}
{{ expression }}
{%- else -%}
cast(null as bigint)
{%- endif -%}
{% endmacro %}


{% macro typed(column, type) %}
    {%- set quoted = adapter.quote(column.name) -%}
    {%- if type == 'json' -%}{{ to_json(quoted) }}{%- else -%}cast({{ quoted }} as {{ type }}){%- endif -%}
{% endmacro %}


{% macro nothing(type) %}cast(null as {{ json_type() if type == 'json' else type }}){% endmacro %}
