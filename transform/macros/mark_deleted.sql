{#- Dates `_sdc_deleted_at` of the rows that a full sync did not send any more. DuckDB's loader ignores the message by
    which the tap says so; PostgreSQL's does it itself.

    dbt run-operation mark_deleted --args '{org_id: "...", report: {complete: {runs: {began: ..., rows: 1000}}}}'

    `report` is what the tap wrote at the end of the full sync. Only streams that it read to their end are in
    `complete`; without a report nothing is marked. -#}
{% macro mark_deleted(org_id=none, report=none) %}
{%- set complete = (report or {}).get('complete') or {} -%}
{%- if complete and not org_id -%}
    {{ exceptions.raise_compiler_error("mark_deleted needs the org_id that the report is of.") }}
{%- endif -%}
{%- set runs = source('tallyfy', 'runs') -%}
{%- set marks = [] -%}
{%- for stream, read in complete.items() -%}
    {%- set table = adapter.get_relation(runs.database, runs.schema, stream) -%}
    {%- set columns = adapter.get_columns_in_relation(table) | map(attribute='name') | list if table is not none else [] -%}
    {%- if '_sdc_deleted_at' in columns and '_sdc_extracted_at' in columns -%}
        {%- set began = utc_moment(read['began']) -%}
        {%- set mark -%}
        update {{ table }} set _sdc_deleted_at = '{{ began }}'
        where org_id = '{{ org_id | string | replace("'", "''") }}'
            and _sdc_deleted_at is null
            and _sdc_extracted_at < timestamp '{{ began }}';
        {%- endset -%}
        {%- do marks.append(mark) -%}
    {%- else -%}
        {%- do exceptions.warn("No row of " ~ stream ~ " is marked as deleted: the loader keeps no dates of its rows.") -%}
    {%- endif -%}
{%- endfor -%}
{%- if marks -%}
    {#- An operation commits nothing by itself. -#}
    {%- call statement('mark_deleted', auto_begin=True) -%}
    {{ marks | join('\n') }}
    commit;
    {%- endcall -%}
{%- endif -%}
{% endmacro %}
