{#- What DuckDB and PostgreSQL spell differently. -#}

{% macro json_type() %}{{ return(adapter.dispatch('json_type')()) }}{% endmacro %}
{% macro duckdb__json_type() %}{{ return('json') }}{% endmacro %}
{% macro postgres__json_type() %}{{ return('jsonb') }}{% endmacro %}

{#- An array is JSON in DuckDB; in PostgreSQL it may be bigint[], text[], jsonb[] or jsonb. -#}
{% macro to_json(value) %}{{ return(adapter.dispatch('to_json')(value)) }}{% endmacro %}
{% macro duckdb__to_json(value) %}{{ return('cast(' ~ value ~ ' as json)') }}{% endmacro %}
{% macro postgres__to_json(value) %}{{ return('to_jsonb(' ~ value ~ ')') }}{% endmacro %}

{#- The value under a key of a JSON object; null where there is none. -#}
{% macro json_member(value, key) %}{{ return(adapter.dispatch('json_member')(value, key)) }}{% endmacro %}
{% macro duckdb__json_member(value, key) %}{{ return("json_extract(" ~ value ~ ", '$." ~ key ~ "')") }}{% endmacro %}
{% macro postgres__json_member(value, key) %}{{ return("(" ~ value ~ " -> '" ~ key ~ "')") }}{% endmacro %}

{#- The elements of a JSON array, one a row in the column `item`; no rows for anything else. -#}
{% macro json_items(value) %}{{ return(adapter.dispatch('json_items')(value)) }}{% endmacro %}
{% macro duckdb__json_items(value) -%}
(select unnest(case when json_type({{ value }}) = 'ARRAY' then from_json({{ value }}, '["JSON"]') end) as item)
{%- endmacro %}
{% macro postgres__json_items(value) -%}
(select jsonb_array_elements(case when jsonb_typeof({{ value }}) = 'array' then {{ value }} end) as item)
{%- endmacro %}

{#- The elements of a column that holds a list, whatever its type. -#}
{% macro list_items(value) %}{{ json_items(to_json(value)) }}{% endmacro %}

{#- A scalar as text; of an object, the value under this key: people come as IDs or as objects. -#}
{% macro item_text(item, key) %}{{ return(adapter.dispatch('item_text')(item, key)) }}{% endmacro %}
{% macro duckdb__item_text(item, key) -%}
case when json_type({{ item }}) = 'OBJECT' then json_extract_string({{ item }}, '$.{{ key }}') else json_extract_string({{ item }}, '$') end
{%- endmacro %}
{% macro postgres__item_text(item, key) -%}
case when jsonb_typeof({{ item }}) = 'object' then {{ item }} ->> '{{ key }}' else {{ item }} #>> '{}' end
{%- endmacro %}

{% macro seconds_between(first, last) %}{{ return(adapter.dispatch('seconds_between')(first, last)) }}{% endmacro %}
{% macro duckdb__seconds_between(first, last) %}(date_diff('microsecond', {{ first }}, {{ last }}) / 1000000.0::double){% endmacro %}
{% macro postgres__seconds_between(first, last) %}cast(extract(epoch from {{ last }} - {{ first }}) as double precision){% endmacro %}

{% macro days_between(first, last) %}({{ seconds_between(first, last) }} / 86400){% endmacro %}

{#- Every day from the first to the last, one a row in the column `day`. -#}
{% macro days(first, last) %}{{ return(adapter.dispatch('days')(first, last)) }}{% endmacro %}
{% macro duckdb__days(first, last) %}select cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date) as day{% endmacro %}
{% macro postgres__days(first, last) %}select cast(generate_series({{ first }}, {{ last }}, interval '1 day') as date) as day{% endmacro %}

{#- A text to sort by, byte by byte: the order of letters is up to each database otherwise. -#}
{% macro in_order(value) %}{{ return(adapter.dispatch('in_order')(value)) }}{% endmacro %}
{% macro duckdb__in_order(value) %}{{ return(value) }}{% endmacro %}
{% macro postgres__in_order(value) %}{{ return(value ~ ' collate "C"') }}{% endmacro %}

{#- The number that a text is, or null. Longer ones would not fit. -#}
{% macro number_or_null(value) %}{{ return(adapter.dispatch('number_or_null')(value)) }}{% endmacro %}
{% macro default__number_or_null(value) -%}
case when {{ matches(value, '-?[0-9]{1,30}([.][0-9]{1,30})?') }} then cast({{ value }} as double precision) end
{%- endmacro %}

{#- The moment that an ISO date or date-time in UTC is, or null: a day that no month has must not end the build. -#}
{% macro moment_or_null(value) %}
{%- set date = '[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])' -%}
{%- set time = '([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+]00:00)?)?' -%}
{%- set first = "cast(substr(" ~ value ~ ", 1, 7) || '-01' as date)" -%}
{%- set day = first ~ " + (cast(substr(" ~ value ~ ", 9, 2) as integer) - 1)" -%}
case when {{ matches(value, date ~ time) }} then
    case when extract(month from {{ day }}) = extract(month from {{ first }}) then
        {{ day }} + cast(substr(substr({{ value }}, 12, 8) || '00:00:00', 1, 8) as time)
    end
end
{%- endmacro %}

{% macro matches(value, pattern) %}{{ return(adapter.dispatch('matches')(value, pattern)) }}{% endmacro %}
{% macro duckdb__matches(value, pattern) %}regexp_full_match({{ value }}, '{{ pattern }}'){% endmacro %}
{% macro postgres__matches(value, pattern) %}{{ value }} ~ '^({{ pattern }})$'{% endmacro %}

{#- Each database has an arithmetic of its own between two values, so of percentile_cont's the last digits differ. -#}
{% macro median(value) -%}
((percentile_disc(0.5) within group (order by {{ value }}) + percentile_disc(0.5) within group (order by {{ value }} desc)) / 2)
{%- endmacro %}
{% macro p90(value) %}{{ return(adapter.dispatch('p90')(value)) }}{% endmacro %}
{% macro duckdb__p90(value) %}round(percentile_cont(0.9) within group (order by {{ value }}), 9){% endmacro %}
{% macro postgres__p90(value) -%}
cast(round(cast(percentile_cont(0.9) within group (order by {{ value }}) as numeric), 9) as double precision)
{%- endmacro %}

{% macro count_if(condition) %}cast(count(case when {{ condition }} then 1 end) as bigint){% endmacro %}

{#- PostgreSQL adds bigint to numeric. -#}
{% macro total(value) %}cast(coalesce(sum({{ value }}), 0) as bigint){% endmacro %}

{#- How much of the whole a part is, 0 to 1; null for 0 of 0. -#}
{% macro share(part, whole) %}(cast({{ part }} as double precision) / nullif({{ whole }}, 0)){% endmacro %}

{#- A place by some numbers; texts decide between rows that are equal in these. -#}
{% macro rank_by(order, texts, within=['org_id']) -%}
cast(row_number() over (partition by {{ within | join(', ') }} order by {{ order }}{% for text in texts %}, {{ in_order(text) }}{% endfor %}) as bigint)
{%- endmacro %}
